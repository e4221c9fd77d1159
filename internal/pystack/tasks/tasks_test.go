package tasks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
	"github.com/resp-exporter/resp-exporter/internal/pystack/object"
	"github.com/resp-exporter/resp-exporter/internal/pystack/pystacktest"
	"github.com/resp-exporter/resp-exporter/internal/pystack/request"
	"github.com/resp-exporter/resp-exporter/internal/pystack/tasks"
)

const (
	patience = 2 * time.Minute
	debian   = "/usr/bin/python3"
)

// loop is an ASGI server with an app.
type loop struct {
	t       testing.TB
	folder  string
	app     string
	client  *http.Client
	process *pystack.Process
	reader  interface {
		Read(stack *pystack.Stack, now time.Time, into []tasks.Task) ([]tasks.Task, bool)
	}
	asked map[string]ask // by path
	stops bool           // the server is stopped while it is read: that takes long on a busy machine
}

// ask is a request that waits in the app, and where the app reports that it waits.
type ask struct {
	id, kind, method, path string
	done                   chan error
	PID, Line              int
	Function               string
}

// library returns a folder from which any interpreter imports Debian's uvicorn.
func library(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "site-packages")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"uvicorn", "h11", "click", "asgiref", "typing_extensions.py"} {
		if err := os.Symlink("/usr/lib/python3/dist-packages/"+name, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// open starts uvicorn; args are those in front of the app.
func open(t testing.TB, python, app string, args ...string) *loop {
	t.Helper()
	l := newLoop(t, app)
	args = append([]string{python, "-m", "uvicorn", "--uds", l.socket(), "--http", "h11", "--log-level", "error"}, append(args, app)...)
	pid := l.start(args...)
	requests := l.openProcess(pid)
	l.reader = tasks.New(l.process, requests)
	return l
}

// newLoop returns a server that is not started yet.
func newLoop(t testing.TB, app string) *loop {
	t.Helper()
	l := &loop{t: t, folder: t.TempDir(), app: app, asked: map[string]ask{}}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", l.socket())
	}
	l.client = &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	return l
}

func (l *loop) socket() string { return filepath.Join(l.folder, "s") }

// start starts a server and returns its process id once it listens.
func (l *loop) start(args ...string) int {
	l.t.Helper()
	here, err := filepath.Abs("testdata")
	if err != nil {
		l.t.Fatal(err)
	}
	if args[0] != debian {
		here += ":" + library(l.t)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = l.folder
	cmd.Env = append(os.Environ(), "LOOP_FOLDER="+l.folder, "PYTHONDONTWRITEBYTECODE=1", "PYTHONPATH="+here)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		if l.t.Failed() {
			l.t.Logf("%v: %s", args, log.String())
		}
	})
	l.wait("the server listens", func() bool {
		c, err := net.Dial("unix", l.socket())
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return cmd.Process.Pid
}

func proc() *procfs.FS { return procfs.New("/proc") }

// openProcess opens the process to read.
func (l *loop) openProcess(pid int) *request.Reader {
	l.t.Helper()
	var err error
	if l.process, err = pystack.Open(proc(), pid, pystack.NewCache()); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(l.process.Close)
	requests, err := request.New(l.process, time.Local, &object.Room{})
	if err != nil {
		l.t.Fatal(err)
	}
	return requests
}

// wait waits until something is so.
func (l *loop) wait(what string, so func() bool) {
	l.t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatalf("not within two minutes: %s", what)
		}
	}
}

// send sends a request and returns once its handler waits.
func (l *loop) send(rng *rand.Rand, kind string) {
	l.t.Helper()
	a := ask{id: fmt.Sprintf("q%x", rng.Uint64()), kind: kind, method: []string{"GET", "POST", "PUT"}[rng.IntN(3)], done: make(chan error, 1)}
	a.path = fmt.Sprintf("/%s/%x", kind, rng.Uint64())
	req, err := http.NewRequestWithContext(l.t.Context(), a.method, "http://loop"+a.path+"?secret=1", nil)
	if err != nil {
		l.t.Fatal(err)
	}
	req.Header.Set("X-Id", a.id)
	req.Header.Set("X-Kind", kind)
	go func() {
		resp, err := l.client.Do(req)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		a.done <- err
	}()
	l.wait(kind+" waits", func() bool {
		select {
		case err := <-a.done:
			l.t.Fatalf("%s was answered early: %v", kind, err)
		default:
		}
		raw, err := os.ReadFile(filepath.Join(l.folder, a.id+".json"))
		return err == nil && json.Unmarshal(raw, &a) == nil
	})
	l.asked[a.path] = a
}

// free releases a request and waits for its response.
func (l *loop) free(a ask) {
	l.t.Helper()
	if err := os.WriteFile(filepath.Join(l.folder, a.id+".free"), nil, 0o600); err != nil {
		l.t.Fatal(err)
	}
	if err := <-a.done; err != nil {
		l.t.Fatal(err)
	}
	delete(l.asked, a.path)
}

// waits reports whether a thread is in a call in which a loop waits for events, or a
// handler that blocks the loop sleeps. In another one, such as the wait for the GIL, it
// may still be on its way to where the app reports that it waits.
func waits(stack *pystack.Stack) bool {
	return slices.Contains([]int{
		unix.SYS_EPOLL_WAIT, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2,
		unix.SYS_SELECT, unix.SYS_PSELECT6, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, // time.sleep
	}, stack.Syscall)
}

// look returns the tasks once a look at the loop is proven, and the loop waits.
func (l *loop) look() (found []tasks.Task) {
	l.t.Helper()
	pid := 0
	for _, a := range l.asked {
		pid = a.PID
	}
	var stack pystack.Stack
	l.wait("a look is to be believed", func() bool {
		listed := false
		if l.stops {
			defer l.stop(pid)()
		}
		outcome := l.process.LookThen(pid, &stack, func(s *pystack.Stack) error {
			found, listed = l.reader.Read(s, time.Now(), found[:0])
			return nil
		})
		if outcome != pystack.OK || !stack.Frozen || !waits(&stack) {
			return false
		}
		if green, ok := l.reader.(*tasks.Greenlets); ok {
			green.Believe()
		}
		return listed
	})
	return found
}

// stop stops the server, and returns a function that lets it go on for as long as it was stopped.
func (l *loop) stop(pid int) (goOn func()) {
	l.t.Helper()
	began := time.Now()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		l.t.Fatal(err)
	}
	return func() {
		_ = syscall.Kill(pid, syscall.SIGCONT)
		time.Sleep(time.Since(began))
	}
}

// check compares the tasks that are read with those that the app reports.
func (l *loop) check() {
	l.t.Helper()
	found := l.look()
	if len(found) != len(l.asked) {
		l.t.Errorf("%d requests, want %d", len(found), len(l.asked))
	}
	ids, scopes := map[uint64]bool{}, map[uint64]bool{}
	for _, task := range found {
		if task.ID == 0 || task.Scope == 0 || ids[task.ID] || scopes[task.Scope] {
			l.t.Errorf("task %d, scope %#x are not its own", task.ID, task.Scope)
		}
		ids[task.ID], scopes[task.Scope] = true, true
		a, ok := l.asked[task.Request.Path]
		if !ok {
			l.t.Errorf("no such request: %+v", task)
			continue
		}
		view := "view_" + a.kind
		hog := a.kind == "hog"
		switch {
		case l.app == "loop:app" && hog: // the thread's stack has it
			view = ""
		case l.app == "loop:app":
			view = "app"
		}
		want := request.Request{InHand: true, View: view, Method: a.method, Path: a.path}
		if task.Request != want || task.Running != hog || task.Thread != (a.kind == "blocked") {
			l.t.Errorf("%s: %+v, want %+v", a.kind, task, want)
		}
		if hog {
			continue
		}
		own := model.Frame{Function: a.Function, File: task.Own.File, Line: a.Line}
		if !task.Thread && (task.Own != own || filepath.Base(own.File) != "loop.py") {
			l.t.Errorf("%s waits in %+v, want %+v", a.kind, task.Own, own)
		}
		if task.Inner.Line == 0 || task.Inner.Function == "" {
			l.t.Errorf("%s: the innermost frame is %+v", a.kind, task.Inner)
		}
	}
}

// Each request that waits in a loop is found, with the line that it waits in.
func TestTasks(t *testing.T) {
	t.Parallel()
	for _, python := range pystacktest.Pythons(t) {
		apps := map[string][]string{"loop:app": {"--loop", "asyncio"}}
		if python == debian {
			apps["loop:starlette"] = []string{"--factory"} // with uvloop
		}
		for app, args := range apps {
			t.Run(app+python, func(t *testing.T) {
				seed := rand.Uint64()
				t.Logf("seed %d", seed)
				rng := rand.New(rand.NewPCG(seed, 0))
				l := open(t, python, app, args...)
				kinds := []string{"helper", "streamed", "gathered", "timed", "helper", "timed"}
				if strings.Contains(app, "starlette") {
					kinds = append(kinds, "blocked", "blocked")
				}
				rng.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
				at := rng.IntN(len(kinds))
				kinds = slices.Insert(kinds, at, "holder", "locked") // in this order
				for _, kind := range kinds {
					l.send(rng, kind)
					if rng.IntN(2) == 0 {
						l.check()
					}
				}
				l.check()
				for _, a := range l.asked {
					if a.kind == "helper" {
						l.free(a)
						break
					}
				}
				l.check()
				l.send(rng, "hog")
				l.check()
			})
		}
	}
}

// Of more requests than are returned the rest is counted, and nothing else goes
// wrong.
func TestManyRequests(t *testing.T) {
	t.Parallel()
	l := open(t, debian, "loop:app")
	l.stops = true
	reader, _ := l.reader.(*tasks.Reader)
	rng := rand.New(rand.NewPCG(1, 2))
	l.send(rng, "helper")
	for range tasks.MaxRequests + 9 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://loop/many", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Id", "many")
		req.Header.Set("X-Kind", "timed")
		go func() {
			if resp, err := l.client.Do(req); err == nil {
				_ = resp.Body.Close()
			}
		}()
	}
	l.wait("the requests are there, each in a line of the app", func() bool {
		list := l.look()
		incomplete := slices.ContainsFunc(list, func(x tasks.Task) bool { return x.Own.Line == 0 || x.Request.Method == "" })
		return len(list) == tasks.MaxRequests && reader.Counts.RequestsBeyond > 0 && !incomplete
	})
}

// BenchmarkRead measures a look at a loop with eleven requests.
func BenchmarkRead(b *testing.B) {
	for _, python := range pystacktest.Pythons(b) {
		b.Run(python, func(b *testing.B) {
			l := open(b, python, "loop:app")
			rng := rand.New(rand.NewPCG(1, 2))
			for range 11 {
				l.send(rng, "helper")
			}
			found := l.look()
			m, _ := l.process.Memory().(*memory.Process)
			var stack pystack.Stack
			pid := 0
			for _, a := range l.asked {
				pid = a.PID
			}
			if l.process.Look(pid, &stack) != pystack.OK {
				b.Fatal("no stack")
			}
			calls, n := m.Calls(), 0
			b.ReportAllocs()
			for b.Loop() {
				n++
				found, _ = l.reader.Read(&stack, time.Now(), found[:0])
			}
			b.ReportMetric(float64(m.Calls()-calls)/float64(n), "calls/op")
		})
	}
}
