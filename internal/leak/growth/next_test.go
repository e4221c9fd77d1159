package growth_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/leak/growth"
	"github.com/resp-exporter/resp-exporter/internal/leak/watch"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// chosen has suspects that a test changes and no process.
type chosen struct {
	t   *testing.T
	all []watch.Suspect
	w   *growth.Watcher
	now time.Time
}

func choose(t *testing.T, all ...watch.Suspect) *chosen {
	t.Helper()
	c := &chosen{t: t, all: all, now: time.Now()}
	c.w = growth.New(growth.Options{Suspects: func() []watch.Suspect { return c.all }, On: func() bool { return true }, ProcRoot: "/proc"})
	return c
}

// next expects a worker to be studied some time later, which shows this; 0: none.
func (c *chosen) next(after time.Duration, pid int, out model.HeapCensus) {
	c.t.Helper()
	c.now = c.now.Add(after)
	s, ok := c.w.Next(c.now)
	if s.PID != pid || ok != (pid != 0) {
		c.t.Fatalf("%+v, want %d", s, pid)
	}
	if ok {
		out.App = s.App
		c.w.End(s, out)
		c.now = time.Now()
	}
}

func worker(app string, pid int) watch.Suspect {
	return watch.Suspect{App: app, Slot: pid, PID: pid, Ticks: 1, Slope: float64(pid)}
}

// When the studies of a worker have shown nothing, the next one of the app is studied.
func TestNextSuspect(t *testing.T) {
	t.Parallel()
	const pause = growth.DefaultPause
	awake := model.HeapCensus{Outcome: model.HeapUnknown, Reason: model.HeapAwake}
	ended := model.HeapCensus{Outcome: model.HeapUnknown, Reason: model.HeapPermission}
	grows := model.HeapCensus{Outcome: model.HeapGrows}
	c := choose(t, worker("shop", 1), worker("shop", 2), worker("shop", 3))
	c.next(0, 1, awake)
	c.next(pause, 0, awake)
	c.next(6*pause, 1, awake)
	c.next(7*pause, 1, awake)
	c.next(0, 0, awake)
	c.next(2*pause, 2, ended)
	c.next(2*pause, 3, grows)
	if got, _ := c.w.Of("shop"); got.Outcome != model.HeapGrows {
		t.Errorf("%+v", got)
	}
	c.next(2*pause, 0, grows) // known
	c.next(73*pause, 3, grows)

	c.all = c.all[:2] // the one that was studied has ended; the others were studied before
	c.next(0, 0, grows)
	if got, ok := c.w.Of("shop"); ok {
		t.Errorf("%+v", got)
	}
	c.all = append(c.all, worker("shop", 4))
	c.next(0, 4, ended)
	c.next(2*pause, 0, ended)
	c.all = nil
	c.next(0, 0, ended)
	c.all = []watch.Suspect{worker("shop", 1)} // anew
	c.next(0, 1, ended)
}

// Of an app at most eight workers are studied without a result.
func TestManySuspects(t *testing.T) {
	t.Parallel()
	c := choose(t)
	for i := range 20 {
		c.all = append(c.all, worker("shop", i+1))
	}
	for i := range 8 {
		c.next(2*growth.DefaultPause, i+1, model.HeapCensus{Outcome: model.HeapUnknown, Reason: model.HeapLayout})
	}
	c.next(2*growth.DefaultPause, 0, model.HeapCensus{})
	if n := c.w.Dropped(); n != 0 {
		t.Errorf("%d dropped", n)
	}
}

// Apps that are too many count once each.
func TestManyApps(t *testing.T) {
	t.Parallel()
	c := choose(t)
	for i := range 70 {
		c.all = append(c.all, worker(fmt.Sprint("shop", i), i+1))
	}
	for i := range 64 {
		c.next(0, i+1, model.HeapCensus{Outcome: model.HeapGrows})
	}
	for range 10 {
		c.next(0, 0, model.HeapCensus{})
	}
	if n := c.w.Dropped(); n != 6 {
		t.Errorf("%d dropped", n)
	}
	c.all = c.all[1:] // there is room for one
	c.next(0, 65, model.HeapCensus{Outcome: model.HeapGrows})
	c.next(0, 0, model.HeapCensus{})
	if n := c.w.Dropped(); n != 6 {
		t.Errorf("%d dropped", n)
	}
}
