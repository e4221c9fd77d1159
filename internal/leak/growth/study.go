package growth

import (
	"context"
	"errors"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/leak/watch"
	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/census"
	"github.com/resp-exporter/resp-exporter/internal/pystack/image"
	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
	"github.com/resp-exporter/resp-exporter/internal/pystack/object"
	"github.com/resp-exporter/resp-exporter/internal/retry"
)

// errUnwanted ends a study of which nothing is told.
var errUnwanted = errors.New("the worker is not suspected any more, or censuses were switched off")

// Run studies the suspected workers, one after the other, until ctx ends. It returns nil.
func (w *Watcher) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if s, ok := w.next(time.Now()); ok {
			w.study(ctx, s)
			continue
		}
		retry.Sleep(ctx, min(lookEvery, w.o.Pause))
	}
	return nil
}

// study runs the censuses of a worker and publishes the result or why there is none. A
// study that was interrupted is repeated later.
func (w *Watcher) study(ctx context.Context, suspect watch.Suspect) {
	s := &study{w: w, suspect: suspect, files: procfs.New(w.o.ProcRoot)}
	var out model.HeapCensus
	err := caught(func() (err error) {
		out, err = s.run(ctx)
		return err
	})
	s.close()
	debug.FreeOSMemory() // a census has 16 MiB, and there is none for a long time now
	switch {
	case ctx.Err() != nil:
		return
	case errors.Is(err, errUnwanted):
		w.postpone(suspect)
		return
	}
	if p, ok := errors.AsType[*logs.Panic](err); ok {
		w.log.Error("A census of the heap panicked", "app", suspect.App, "worker", suspect.Slot, "err", p, "stack", p.Stack)
	}
	if err != nil {
		out.Outcome, out.Reason = model.HeapUnknown, reasonOf(err)
		w.log.Info("No census of the heap of a worker that may leak memory", "app", suspect.App, "worker", suspect.Slot, "reason", string(out.Reason), "err", err)
	}
	s.publish(out, true)
}

// publish publishes a result of the study with its app, worker and CPU time. final: no
// other result follows.
func (s *study) publish(out model.HeapCensus, final bool) {
	out.App, out.Slot, out.CPU = s.suspect.App, strconv.Itoa(s.suspect.Slot), s.cpu.Seconds()
	s.w.tell(s.suspect, out, final)
}

// run runs all censuses of a worker, with pauses in between, and returns what they show. It
// publishes how far it is.
func (s *study) run(ctx context.Context) (model.HeapCensus, error) {
	out := model.HeapCensus{Outcome: model.HeapPending}
	s.publish(out, false)
	if err := s.open(); err != nil {
		return out, err
	}
	var all []sample
	for i := range censuses {
		if i > 0 && !retry.Sleep(ctx, s.w.o.Pause) {
			return out, ctx.Err()
		}
		next, err := s.take(ctx)
		if err != nil {
			return out, err
		}
		all = append(all, next)
		out.Censuses, out.Objects = len(all), float64(next.objects)
		s.publish(out, false)
	}
	return s.conclude(ctx, all)
}

// conclude returns what the censuses show, with the names of the containers and types
// that grow, for which it searches the heap.
func (s *study) conclude(ctx context.Context, all []sample) (model.HeapCensus, error) {
	containers, types := containersThatGrow(all), typesThatGrow(all)
	var addrs, typeAddrs []uint64
	for _, g := range containers {
		addrs = append(addrs, g.addr)
	}
	for _, g := range types {
		typeAddrs = append(typeAddrs, g.addr)
	}
	c := census.New(s.target)
	var expected []census.Container // what is at these addresses by now may be something else
	for _, addr := range addrs {
		if x, ok := all[len(all)-1].containers[addr]; ok {
			expected = append(expected, x)
		}
	}
	search := c.Search(addrs, typeAddrs)
	search.Expect(expected)
	if err := s.continued(ctx, c, search); err != nil {
		return model.HeapCensus{}, err
	}
	var found *census.Found
	err := s.pass(ctx, c, func() (err error) {
		found, err = search.Found(ctx)
		return err
	})
	if err != nil {
		return model.HeapCensus{}, err
	}
	return judge(all, containers, types, found), nil
}

// take returns one census: the objects by type, the containers, and the memory at that
// time.
func (s *study) take(ctx context.Context) (sample, error) {
	out := sample{containers: map[uint64]census.Container{}}
	var heap *census.Heap
	c := census.New(s.target)
	err := s.pass(ctx, c, func() (err error) {
		heap, err = c.Walk(ctx)
		return err
	})
	if err != nil {
		return out, err
	}
	out.at = time.Now()
	if out.anon, err = s.anon(); err != nil {
		return out, err
	}
	search := c.Search(nil, nil)
	if err := s.continued(ctx, c, search); err != nil {
		return out, err
	}
	out.objects, out.types = heap.Objects, heap.Types
	untracked := search.Untracked()
	out.complete = complete(heap, search.Dropped(), len(untracked))
	out.add(heap.Containers)
	out.add(untracked)
	if heap.Other > 0 {
		s.w.drop(1)
	}
	return out, nil
}

// continued continues a search until it ends. nil: everything was visited, or the search
// ended early, which is counted as dropped; other errors are those of [study.pass].
func (s *study) continued(ctx context.Context, c *census.Census, search *census.Search) error {
	if err := s.pass(ctx, c, func() error { return search.Continue(ctx) }); err != nil {
		return err
	}
	s.w.drop(search.Dropped())
	return nil
}

// complete reports whether a census has all containers with enough items, so that one that
// it lacks counts as empty then: the search did not end early (dropped), nor were containers
// or untracked dicts left out.
func complete(heap *census.Heap, dropped uint64, untracked int) bool {
	return heap.Dropped == 0 && dropped == 0 && untracked < census.MaxContainers
}

// open opens the process and checks that it is the suspected one. errHung: too many reads
// of its user's memory hang, or one of this process did.
func (s *study) open() error {
	if err := s.same(); err != nil {
		return err
	}
	s.account = s.files.Owner(s.suspect.PID, 0, s.w.ownNS).Account
	if s.w.hangs(s.account) {
		return errHung
	}
	var p *pystack.Process // which a function that is given up does not set
	err := s.do(func() (err error) {
		p, err = pystack.Open(s.files, s.suspect.PID, pystack.NewWatchedCache(s.w.dog))
		return err
	})
	if err != nil {
		return err
	}
	s.process = p
	if err := s.same(); err != nil {
		return err
	}
	v, shift := p.Version(), p.Layout().Object.Type-8
	s.target = census.Target{Memory: p.Memory(), Minor: v.Minor, Runtime: p.Runtime(), Holds: s.still.Holds, Spent: s.spent}
	s.target.Objects, err = object.LayoutOf(v.Major, v.Minor, shift > 0)
	return err
}

// anon returns the bytes of anonymous memory of the process, swapped memory included. An
// error: it cannot be read, or the pid is no longer that process.
func (s *study) anon() (float64, error) {
	b, err := s.files.Read(s.suspect.PID, "status")
	if err != nil {
		return 0, err
	}
	m, err := procfs.ParseStatus(b)
	if err != nil {
		return 0, err
	}
	return float64(m.Anon + m.Swap), s.same()
}

// reasonOf returns the reason that the model has for an error; HeapLayout for an unknown
// one.
func reasonOf(err error) model.HeapReason {
	_, unsupported := errors.AsType[*image.Unsupported](err)
	switch {
	case errors.Is(err, errHung), errors.Is(err, memory.ErrHung):
		return model.HeapHung
	case errors.Is(err, errAwake), errors.Is(err, pystack.ErrNotReady):
		return model.HeapAwake
	case procfs.Denied(err):
		return model.HeapPermission
	case procfs.Gone(err):
		return model.HeapEnded
	case errors.Is(err, census.ErrTooMuch):
		return model.HeapTooMuch
	case unsupported:
		return model.HeapUnsupported
	default:
		return model.HeapLayout
	}
}
