package collectors

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

var (
	successFamily   = gauge("scrape_collector_success", "Whether the last read of this collector succeeded (1); missing permissions are reported by resp_collector_available.", "collector")
	durationFamily  = gauge("scrape_collector_duration_seconds", "Duration of the last read of this collector.", "collector")
	availableFamily = gauge("collector_available", "Whether this collector returns complete data (1) or not (0), with the reason.", "collector", "reason")
	leftFamily      = gauge("scrape_collector_left_behind", "Reads of this collector that timed out and have not returned yet; while there are two, no new read is started.", "collector")
)

// maxAbandoned is the maximum number of abandoned reads of one source at once.
const maxAbandoned = 2

// Set reads its collectors concurrently.
type Set struct {
	sources []*source
	off     []string
	log     *slog.Logger
	size    atomic.Int64 // metrics of the last read
}

// NewSet returns a Set of collectors. Those named in off are published as disabled.
func NewSet(cs []Collector, off []string, log *slog.Logger) *Set {
	log = logs.Or(log)
	s := &Set{off: off, log: log}
	for _, c := range cs {
		s.sources = append(s.sources, &source{Collector: c, log: log.With("collector", c.Name())})
	}
	return s
}

// Names returns the names of the collectors that are on, in the order given to [NewSet].
func (s *Set) Names() []string {
	var names []string
	for _, c := range s.sources {
		names = append(names, c.Name())
	}
	return names
}

// Off returns the names of the collectors that are off: the slice given to [NewSet], not a
// copy.
func (s *Set) Off() []string { return s.off }

// Lacks returns what was lacking in the last read of the collector of that name, optional
// lacks included; nil if nothing was, if it was not read yet, or there is none of that
// name.
func (s *Set) Lacks(name string) []*Unavailable {
	for _, c := range s.sources {
		if c.Name() == name {
			c.mu.Lock()
			defer c.mu.Unlock()
			return Lacks(c.err)
		}
	}
	return nil
}

// readBudget is the minimum time that a source has for one read, whatever the deadline
// of the scrape that began it.
const readBudget = 8 * time.Second

// minLateWait is the minimum time that a scrape must have waited for a source to
// report it as late: a shorter scrape proves nothing about the source.
const minLateWait = time.Second

// Read returns one sample of all collectors for which pick returns true (nil: all), each
// read once. It returns at the latest when ctx ends, which must have a deadline. Of a
// collector that has not ended by then there are only the metrics about itself; what is
// lacking is in the state.
//
// Two calls at the same time share a read. A read that hangs is abandoned after its
// deadline; the next call may begin another one.
func (s *Set) Read(ctx context.Context, pick func(name string) bool) Sample {
	type wait struct {
		c *source
		f *flight
	}
	asked := time.Now()
	var waits []wait
	for _, c := range s.sources {
		if pick == nil || pick(c.Name()) {
			waits = append(waits, wait{c, c.join(ctx)})
		}
	}
	var sum Sample
	sum.grow(int(s.size.Load()))
	for _, w := range waits {
		w.c.await(ctx, w.f, asked, &sum)
	}
	for _, name := range s.off {
		sum.available(name, Disabled)
	}
	s.size.Store(int64(len(sum.Metrics)))
	return sum
}

// source is a collector and its read under way, if any.
type source struct {
	Collector
	log *slog.Logger

	mu        sync.Mutex
	current   *flight
	abandoned int       // reads that were given up and have not come back
	lacks     []lackKey // as of the last read, so that each is logged once
	err       error     // of the last read
}

// flight is one read of a source, shared by all concurrent calls of [Set.Read].
type flight struct {
	began     time.Time
	deadline  time.Time
	done      chan struct{}
	abandoned bool   // its deadline has passed: counted as left behind
	sample    Sample // set before done is closed
	err       error
	took      time.Duration
}

// join returns the read that is under way, or begins one. One past its deadline is
// abandoned; nil if two abandoned ones still hang.
func (c *source) join(ctx context.Context) *flight {
	c.mu.Lock()
	defer c.mu.Unlock()
	began := time.Now()
	if f := c.current; f != nil {
		if began.Before(f.deadline) {
			return f
		}
		f.abandoned = true
		c.abandoned++
		c.current = nil
	}
	if c.abandoned >= maxAbandoned {
		return nil
	}
	// A scrape that has little time must not fail the one that joined it.
	deadline := began.Add(readBudget)
	if d, ok := ctx.Deadline(); ok && d.After(deadline) {
		deadline = d
	}
	f := &flight{began: began, deadline: deadline, done: make(chan struct{})}
	c.current = f
	// Nor must a scrape that is cancelled.
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	go func() {
		defer cancel()
		c.run(ctx, f)
	}()
	return f
}

// run calls f and stores its result. The next call of join begins another one.
func (c *source) run(ctx context.Context, f *flight) {
	defer close(f.done)
	growStack()
	f.sample, f.err = c.collect(ctx)
	f.took = time.Since(f.began)
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.abandoned {
		c.abandoned--
	}
	if c.current == f {
		c.current = nil
	}
}

// collect returns the sample of the collector. A panic becomes an error, so that it does
// not end the others.
func (c *source) collect(ctx context.Context) (s Sample, err error) {
	defer func() {
		if r := recover(); r != nil {
			s, err = Sample{}, logs.Recovered(r)
		}
	}()
	return c.Collect(ctx)
}

// await waits for the read f until ctx ends, and appends its sample and the metrics about
// the collector to sum. f may be nil: reads hang. asked is when the call of Read began.
func (c *source) await(ctx context.Context, f *flight, asked time.Time, sum *Sample) {
	if f == nil {
		c.finish(sum, context.DeadlineExceeded, 0)
		return
	}
	select {
	case <-f.done:
	default:
		select {
		case <-f.done:
		case <-ctx.Done():
			if time.Since(asked) < minLateWait { // the scrape is short, the source may be well
				c.describe(sum, context.DeadlineExceeded, time.Since(f.began))
				return
			}
			c.finish(sum, context.DeadlineExceeded, time.Since(f.began))
			return
		}
	}
	sum.Metrics = append(sum.Metrics, f.sample.Metrics...)
	sum.State.Append(&f.sample.State)
	c.finish(sum, f.err, f.took)
}

// finish stores the error of a read, logs what has changed since the read before, and
// appends to s the metrics about the collector.
func (c *source) finish(s *Sample, err error, took time.Duration) {
	c.mu.Lock()
	before := c.lacks
	now, fresh := newLacks(before, err)
	c.lacks, c.err = now, err
	c.mu.Unlock()
	switch {
	case len(fresh) > 0:
		c.logLacks(fresh, err)
	case len(now) == 0 && len(before) > 0:
		c.log.Info("Collector data complete again", "was", string(before[0].reason))
	}
	c.describe(s, err, took)
}

// lackKey identifies a lack from read to read. The sentence is part of it only if there
// is no object, and not for an unforeseen error, whose text may differ each time.
type lackKey struct {
	of, detail string
	reason     Reason
}

// newLacks returns the keys of the lacks of an error, each once and without optional ones,
// and those of these lacks whose keys are not in before.
func newLacks(before []lackKey, err error) (now []lackKey, fresh []*Unavailable) {
	for _, u := range Lacks(err) {
		k := lackKey{of: u.Of, reason: u.Reason}
		if u.Of == "" && u.Reason != Failed {
			k.detail = u.Detail
		}
		if u.Optional || slices.Contains(now, k) {
			continue
		}
		now = append(now, k)
		if !slices.Contains(before, k) {
			fresh = append(fresh, u)
		}
	}
	return now, fresh
}

// describe appends to s the metrics about the collector (success, duration, reason), and
// the lacks of err to the state.
func (c *source) describe(s *Sample, err error, took time.Duration) {
	reason, _ := ReasonOf(err)
	c.mu.Lock()
	left := c.abandoned
	c.mu.Unlock()
	s.add(successFamily, flag(reason != Timeout && reason != Failed), c.Name())
	s.add(durationFamily, took.Seconds(), c.Name())
	s.add(leftFamily, float64(left), c.Name())
	s.available(c.Name(), reason)
	for _, u := range Lacks(err) {
		lack := model.Lack(*u)
		lack.Collector = c.Name()
		s.State.Lacks = append(s.State.Lacks, lack)
	}
}

// available appends to s whether a collector is available, as metric and state.
func (s *Sample) available(collector string, reason Reason) {
	s.add(availableFamily, flag(reason == OK), collector, string(reason))
	s.State.Collectors = append(s.State.Collectors, model.Collector{Name: collector, Reason: reason})
}

// logLacks logs new lacks in one line: as an error if the collector failed, else as a
// warning. err is the error of the read.
func (c *source) logLacks(fresh []*Unavailable, err error) {
	errs := make([]error, len(fresh))
	for i, u := range fresh {
		errs[i] = u
	}
	reason, detail := ReasonOf(errors.Join(errs...))
	switch reason {
	case Failed, Timeout:
		attrs := []any{"reason", string(reason), "err", detail}
		if p, ok := errors.AsType[*logs.Panic](err); ok {
			attrs = append(attrs, "stack", p.Stack)
		}
		c.log.Error("Collector failed", attrs...)
	default:
		c.log.Warn("Collector data incomplete", "reason", string(reason), "err", detail)
	}
}
