package collectors

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

var (
	successFamily   = gauge("scrape_collector_success", "Whether the last read of this collector succeeded (1); missing permissions are reported by resp_collector_available.", "collector")
	durationFamily  = gauge("scrape_collector_duration_seconds", "Duration of the last read of this collector.", "collector")
	availableFamily = gauge("collector_available", "Whether this collector returns complete data (1) or not (0), with the reason.", "collector", "reason")
	leftFamily      = gauge("scrape_collector_left_behind", "Reads of this collector that timed out and have not returned yet; while there are two, no new read is started.", "collector")
)

// maxLeft is how many hung reads of one source may be left behind at once.
const maxLeft = 2

// Set reads its collectors side by side.
type Set struct {
	sources []*source
	off     []string
	log     *slog.Logger
	size    atomic.Int64 // metrics of the last read
}

// NewSet returns a set of cs. The names in off are published as disabled.
func NewSet(cs []Collector, off []string, log *slog.Logger) *Set {
	log = logs.Or(log)
	s := &Set{off: off, log: log}
	for _, c := range cs {
		s.sources = append(s.sources, &source{Collector: c, log: log.With("collector", c.Name())})
	}
	return s
}

// Names lists the collectors that are on.
func (s *Set) Names() []string {
	var names []string
	for _, c := range s.sources {
		names = append(names, c.Name())
	}
	return names
}

// Off lists the collectors that are off.
func (s *Set) Off() []string { return s.off }

// Lacks lists all that the last read of one collector said is missing.
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

// readBudget is how long a source may take for one read at least, whatever time
// the scrape has that began it.
const readBudget = 8 * time.Second

// fairWait is how long a source must have been waited for to count as late: a
// scrape that has less time says nothing about it.
const fairWait = time.Second

// Read reads every source that pick takes (nil: all), each once, until ctx
// ends, which must have a deadline. Two calls at the same time share one read
// of a source. A source that hangs is left behind: its place is free again
// when its deadline has passed, whether it has come back or not.
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

// source is a collector and the read of it now under way, if any.
type source struct {
	Collector
	log *slog.Logger

	mu    sync.Mutex
	now   *flight
	left  int       // reads that were given up and have not come back
	lacks []lackKey // as of the last read, so that each is logged once
	err   error     // of the last read
}

// flight is one read of a source, shared by all who ask meanwhile.
type flight struct {
	began    time.Time
	deadline time.Time
	done     chan struct{}
	over     bool   // its deadline has passed: counted as left behind
	sample   Sample // set before done is closed
	err      error
	took     time.Duration
}

// join returns the read under way, or begins one; nil if too many hang.
func (c *source) join(ctx context.Context) *flight {
	c.mu.Lock()
	defer c.mu.Unlock()
	began := time.Now()
	if f := c.now; f != nil {
		if began.Before(f.deadline) {
			return f
		}
		f.over = true
		c.left++
		c.now = nil
	}
	if c.left >= maxLeft {
		return nil
	}
	// A scrape that has little time must not fail the one that joined it.
	deadline := began.Add(readBudget)
	if d, ok := ctx.Deadline(); ok && d.After(deadline) {
		deadline = d
	}
	f := &flight{began: began, deadline: deadline, done: make(chan struct{})}
	c.now = f
	// Nor must one that hangs up.
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	go func() {
		defer cancel()
		c.fly(ctx, f)
	}()
	return f
}

// fly does one read and clears its place.
func (c *source) fly(ctx context.Context, f *flight) {
	defer close(f.done)
	f.sample, f.err = c.collect(ctx)
	f.took = time.Since(f.began)
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.over {
		c.left--
	}
	if c.now == f {
		c.now = nil
	}
}

// collect calls the collector and turns a panic into an error: one source must
// not take the others with it.
func (c *source) collect(ctx context.Context) (s Sample, err error) {
	defer func() {
		if r := recover(); r != nil {
			s, err = Sample{}, logs.Recovered(r)
		}
	}()
	return c.Collect(ctx)
}

// await waits for a read, since asked and until ctx ends, and appends to sum what
// it gave and what all collectors publish.
func (c *source) await(ctx context.Context, f *flight, asked time.Time, sum *Sample) {
	if f == nil {
		c.meta(sum, context.DeadlineExceeded, 0)
		return
	}
	select {
	case <-f.done:
	default:
		select {
		case <-f.done:
		case <-ctx.Done():
			if time.Since(asked) < fairWait { // the scrape is short, the source may be well
				c.describe(sum, context.DeadlineExceeded, time.Since(f.began))
				return
			}
			c.meta(sum, context.DeadlineExceeded, time.Since(f.began))
			return
		}
	}
	sum.Metrics = append(sum.Metrics, f.sample.Metrics...)
	sum.State.Append(&f.sample.State)
	c.meta(sum, f.err, f.took)
}

// meta notes how a read ended, and appends to s what all collectors publish.
func (c *source) meta(s *Sample, err error, took time.Duration) {
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

// lackKey tells one lack from another. The sentence counts only where there is
// nothing else to tell them by, and is not that of an unforeseen error, which may
// differ each time.
type lackKey struct {
	of, detail string
	reason     Reason
}

// newLacks returns what an error says is missing, and of that what was not before.
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

// describe appends to s what all collectors publish.
func (c *source) describe(s *Sample, err error, took time.Duration) {
	reason, _ := ReasonOf(err)
	c.mu.Lock()
	left := c.left
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

// available adds whether a collector gives all it should.
func (s *Sample) available(collector string, reason Reason) {
	s.add(availableFamily, flag(reason == OK), collector, string(reason))
	s.State.Collectors = append(s.State.Collectors, model.Collector{Name: collector, Reason: reason})
}

// logLacks logs what is missing since the read that ended with err.
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

// Bind ties the set to one scrape, as an unchecked prometheus collector.
func (s *Set) Bind(ctx context.Context, pick func(string) bool) prometheus.Collector {
	return bound{set: s, ctx: ctx, pick: pick}
}

type bound struct {
	set  *Set
	ctx  context.Context //nolint:containedctx // lives for one scrape only
	pick func(string) bool
}

// Describe sends nothing: what a collector returns differs from scrape to
// scrape, and the tests hold it against Descs with a pedantic registry.
func (bound) Describe(chan<- *prometheus.Desc) {}

func (b bound) Collect(ch chan<- prometheus.Metric) {
	for _, m := range b.set.Read(b.ctx, b.pick).Metrics {
		ch <- m
	}
}
