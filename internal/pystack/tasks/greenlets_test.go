package tasks_test

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/request"
	"github.com/resp-exporter/resp-exporter/internal/pystack/tasks"
)

// Each request that waits in a worker of gevent is found, with the line that it
// waits in, also while another one does not let go of the hub.
func TestGreenlets(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	l := newLoop(t, "green:app")
	l.start(debian, "-m", "gunicorn.app.wsgiapp", "green:app", "--bind", "unix:"+l.socket(), "--workers", "1", "--worker-class", "gevent", "--log-level", "warning", "--timeout", "600")
	sent := time.Now()
	l.send(rng, "helper")
	pid := l.pid()
	requests := l.openProcess(pid)
	l.reader = tasks.NewGreenlets(l.process, requests)
	l.checkGreen(sent, 1)
	n := 2 + rng.IntN(4)
	for range n {
		l.send(rng, "helper")
	}
	l.checkGreen(sent, 1+n)
	for _, a := range l.asked {
		l.free(a)
		break
	}
	l.checkGreen(sent, n)
	l.send(rng, "spin")
	l.checkSpin(requests, sent, n)
}

// pid returns the worker's process id.
func (l *loop) pid() int {
	for _, a := range l.asked {
		return a.PID
	}
	return 0
}

// checkGreen compares the greenlets that are read with those that the app reports.
func (l *loop) checkGreen(sent time.Time, n int) {
	l.t.Helper()
	var found []tasks.Task
	// One that has just been woken is in no list of those that wait.
	l.wait("all greenlets wait", func() bool {
		found = l.look()
		return len(found) == n
	})
	l.compareGreen(found, sent)
}

func (l *loop) compareGreen(found []tasks.Task, sent time.Time) {
	l.t.Helper()
	ids := map[uint64]bool{}
	for _, task := range found {
		if task.ID == 0 || ids[task.ID] {
			l.t.Errorf("greenlet %d is not its own", task.ID)
		}
		ids[task.ID] = true
		a := l.asked[task.Request.Path]
		started := task.Request.Started
		want := request.Request{InHand: true, View: "view_helper", Route: "/helper/<value>", Method: a.method, Path: a.path, Started: started}
		own := model.Frame{Function: a.Function, File: task.Own.File, Line: a.Line}
		if task.Request != want || task.Own != own || filepath.Base(own.File) != "green.py" || task.Running || task.Thread {
			l.t.Errorf("%+v, want %+v in %+v", task, want, own)
		}
		if started.Before(sent.Add(-time.Millisecond)) || started.After(time.Now()) {
			l.t.Errorf("started %v", started)
		}
	}
}

// checkSpin looks while a request spins, which is in the thread's stack: the others
// are found by what is remembered.
func (l *loop) checkSpin(requests *request.Reader, sent time.Time, n int) {
	l.t.Helper()
	var thread request.Thread
	var stack pystack.Stack
	var got request.Request
	var found []tasks.Task
	pid := l.pid()
	l.wait("a look at a thread that runs is to be believed", func() bool {
		listed := false
		outcome := l.process.LookThen(pid, &stack, func(s *pystack.Stack) error {
			requests.Read(&thread, s, time.Now(), &got)
			found, listed = l.reader.Read(s, time.Now(), found[:0])
			return nil
		})
		return outcome == pystack.OK && listed && got.InHand
	})
	if got.View != "view_spin" || len(found) != n {
		l.t.Errorf("%+v runs, %d wait, want %d", got, len(found), n)
	}
	l.compareGreen(found, sent)
}
