package discovery

import (
	"context"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery/slots"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
)

// inspector is an Inspector that finds every worker busy, or fails.
type inspector struct {
	err      map[int]error // by pid
	finished []conns.Scan
}

// seen is the state that it keeps of a worker: how often it was inspected.
type seen struct{ times int }

func (s *seen) Unready() bool { return s.times == 0 }

func (i *inspector) Inspect(ctx context.Context, in *Inspected, out *Worker) error {
	state, err := i.State(ctx, in)
	out.State = state
	return err
}

func (i *inspector) State(_ context.Context, in *Inspected) (State, error) {
	s, ok := in.Tracker.(*seen)
	if !ok {
		s = new(seen)
		in.Tracker = s
	}
	if err := i.err[in.Process.PID]; err != nil {
		return StateUnknown, err
	}
	s.times++
	return Busy, nil
}

func (i *inspector) Finish(_ context.Context, scan conns.Scan) { i.finished = append(i.finished, scan) }

// inspected returns an app with workers in slots and workers that wait for one.
func inspected(w *Watcher, inSlots, waiting int) *app {
	a := newApp("shop", -1)
	root := rooted(w, 1, 8000)
	a.roots, a.namespace = []*table.Process{root}, w.netOf(root)
	for i := range inSlots + waiting {
		p := rooted(w, 10+i, uint16(9000+i))
		a.workers = append(a.workers, p)
		if i < inSlots {
			a.Slots = append(a.Slots, &slots.Slot{Process: p})
		}
	}
	a.Assign(a.workers[:inSlots], at(1))
	a.Assign(a.workers, at(1000))
	w.apps = append(w.apps, a)
	return a
}

// The state of an inspector stays with its worker, and its error is reported.
func TestInspection(t *testing.T) {
	t.Parallel()
	w := host(t)
	i := &inspector{err: map[int]error{11: unix.EACCES, 12: ErrAllowance, 13: unix.ESRCH, 15: ErrAllowance, 16: unix.ENOENT}}
	w.inspector = i
	a := inspected(w, 4, 3)
	w.scanNumber++
	s := w.buildSnapshot(t.Context(), at(1001))
	got := s.Apps[0]
	if len(got.Workers) != 3 || got.Workers[0].State != Busy || got.Workers[1].State != StateUnknown || got.Workers[2].PID != 0 {
		t.Errorf("workers %+v", got.Workers)
	}
	if !errors.Is(got.StateErr, unix.EACCES) || got.Cut != 2 {
		t.Errorf("%v, %d without an allowance", got.StateErr, got.Cut)
	}
	if got.Unslotted != 3 || got.Arrived[Busy] != 1 || got.Arrived[StateUnknown] != 1 {
		t.Errorf("%d without a slot, %v", got.Unslotted, got.Arrived)
	}
	if len(i.finished) != 1 || len(i.finished[0].Apps) != 1 || i.finished[0].Number != w.scanNumber {
		t.Errorf("finished %+v", i.finished)
	}
	w.buildSnapshot(t.Context(), at(1002))
	if kept, ok := a.Slots[0].State.(*seen); !ok || kept.times != 2 {
		t.Errorf("kept %+v", a.Slots[0].State)
	}
	if kept, ok := a.Waiting[a.workers[4]].State.(*seen); !ok || kept.times != 2 {
		t.Errorf("kept of one without a slot: %+v", a.Waiting[a.workers[4]].State)
	}
}

// Without an inspector every state is unknown.
func TestNoInspector(t *testing.T) {
	t.Parallel()
	w := host(t)
	inspected(w, 2, 1)
	got := w.buildSnapshot(t.Context(), at(1001)).Apps[0]
	if len(got.Workers) != 2 || got.Workers[0].State != StateUnknown || len(got.Arrived) != 0 || got.StateErr != nil {
		t.Errorf("%+v", got)
	}
}
