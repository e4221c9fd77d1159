package workerends

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/cgroup"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
)

// diary writes down what it is told of the memory files of workers.
type diary struct{ lines []string }

func (d *diary) Look(app string, uid uint32, _ int, _ time.Time, busy bool) {
	d.lines = append(d.lines, fmt.Sprintf("look %s %d %t", app, uid, busy))
}

func (d *diary) Ended(int, time.Time, time.Time) appside.Last {
	d.lines = append(d.lines, "ended")
	return appside.Last{Requests: []appside.Request{{Method: "GET", Route: "/items"}}}
}
func (d *diary) Forget(int, time.Time) { d.lines = append(d.lines, "forget") }
func (d *diary) Close()                { d.lines = append(d.lines, "close") }

// What a worker says about itself is followed from its first look to its end, and goes with
// its end.
func TestInside(t *testing.T) {
	t.Parallel()
	h, end, cmd := child(t, "kill -9 $$")
	start, err := h.id.StartTime()
	if err != nil {
		t.Fatal(err)
	}
	d, told := &diary{}, []Ended(nil)
	w := New(Options{ProcRoot: "/proc", Groups: &cgroup.FS{ProcRoot: "/proc"}, Inside: d, Told: func(e Ended) { told = append(told, e) }})
	now := time.Now()
	w.lookAt(t.Context(), &discovery.Snapshot{Time: now, Apps: []discovery.App{{
		Name: "shop", UID: 7, Up: true, PID: cmd.Process.Pid, Start: start,
		Workers: []discovery.Worker{{Process: discovery.Process{PID: cmd.Process.Pid}, Start: start, State: discovery.Busy}},
	}}})
	end()
	_ = cmd.Wait()
	w.workerEnded(<-w.ended)
	w.workerEnded(ended{w.settling[0].worker, Status{}, now}) // told again
	w.settle(now.Add(time.Hour))
	if got := fmt.Sprint(d.lines); got != "[look shop 7 true ended]" {
		t.Errorf("it was told %s", got)
	}
	if len(told) != 1 || len(told[0].Last.Requests) != 1 || told[0].Last.Requests[0].Route != "/items" || told[0].Reason == Recycled {
		t.Errorf("ends: %+v", told)
	}
	// A process that lives and is no worker any more.
	x := &worker{app: "shop", pid: unix.Getpid(), began: now, seen: now}
	w.workers[x.pid] = x
	w.missing(&discovery.Snapshot{Time: now.Add(time.Minute)})
	if got := fmt.Sprint(d.lines); got != "[look shop 7 true ended forget]" {
		t.Errorf("it was told %s", got)
	}
}
