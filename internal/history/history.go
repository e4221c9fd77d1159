package history

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

const (
	period = time.Second // of the samples
	// maxRequests is how many requests of a sample are kept, those that wait longest
	// first; maxOfApp how many of one app.
	maxRequests, maxOfApp = 2048, 1024
	// segmentsOfTime and segmentsOfSize are in how many parts the history is dropped.
	segmentsOfTime, segmentsOfSize = 12, 16
	// setBack is how far the clock may be set back within a segment.
	setBack = 2 * time.Second
	// future is how far in the future samples may be: those of a clock that was wrong.
	future = 10 * time.Minute
	// recordRoom is the room for the record of the next sample.
	recordRoom = 4 << 10
)

// Settings is what the configuration says of the history.
type Settings struct {
	Keep     time.Duration // for how long; 0: no samples are kept
	MaxBytes int           // in memory, and as much in the state directory
}

// Options configures a [History].
type Options struct {
	Settings
	// Threads returns what the request threads of all workers do now.
	Threads func() []model.WorkerThreads
	// ThreadsOf returns the same of one process, also shortly after its end.
	ThreadsOf func(pid int) ([]model.Thread, bool)
	StateDir  string // "": memory alone
	Logger    *slog.Logger
}

// History keeps what the requests of all apps do, once a second while [History.Run]
// runs. Its exported methods may be called by several goroutines.
type History struct {
	o    Options
	log  *slog.Logger
	tail tail
	join joins

	mu       sync.Mutex // guards what follows; never held while a file is read or written
	settings Settings
	segments []*segment // the oldest first; the last one is appended to
	enc      *encoder   // of that one
	next     uint64     // number of the next segment
	counts   Counts
	stored   bool
	why      error

	store storage // used by Run alone
}

// New returns a History. It reads nothing yet.
func New(o Options) *History {
	return &History{o: o, log: logs.Or(o.Logger), settings: o.Settings, store: storage{path: o.StateDir}, tail: newTail(), next: 1}
}

// Apply sets other settings.
func (h *History) Apply(s Settings) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.settings = s
}

// Run reads what the state directory has, then takes a sample each second until ctx
// ends.
func (h *History) Run(ctx context.Context) error {
	h.open(time.Now())
	defer h.store.close()
	t := time.NewTicker(period)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			h.save(time.Now())
			return nil
		case now := <-t.C:
			h.sample(now)
			h.save(now)
		}
	}
}

// sample takes one sample. A panic is logged and costs this sample only.
func (h *History) sample(now time.Time) {
	defer func() {
		if r := recover(); r != nil {
			p := logs.Recovered(r)
			h.log.Error("Taking a sample for the history panicked", "err", p, "stack", p.Stack)
		}
	}()
	workers := h.o.Threads()
	h.tail.note(workers, now, h.join.waitOf)
	h.Record(now, h.join.requests(workers, now))
}

// Record keeps what requests do at a time.
func (h *History) Record(at time.Time, requests []Request) {
	requests, dropped := bounded(requests)
	for i := range requests {
		fit(&requests[i])
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts.Requests += uint64(dropped) //nolint:gosec // a number of requests
	if h.settings.Keep <= 0 {
		h.segments, h.enc = nil, nil
		return
	}
	s := h.openSegment(at)
	var left uint64
	s.data, left = h.enc.append(s.data, at, requests)
	s.add(at)
	s.stored = false
	h.counts.Details += left
	h.evict(at)
}

// bounded returns the requests that are kept of a sample, and how many are not.
func bounded(list []Request) (kept []Request, dropped int) {
	if len(list) <= maxOfApp {
		return list, 0
	}
	slices.SortFunc(list, func(a, b Request) int { return cmp.Compare(b.Seconds, a.Seconds) })
	of := make(map[string]int)
	for _, r := range list {
		if of[r.App]++; of[r.App] <= maxOfApp && len(kept) < maxRequests {
			kept = append(kept, r)
		}
	}
	return kept, len(list) - len(kept)
}

// openSegment returns the segment for a sample at a time. h.mu is held.
func (h *History) openSegment(at time.Time) *segment {
	if n := len(h.segments); n > 0 && h.enc != nil {
		s := h.segments[n-1]
		if len(s.data) < h.segmentBytes()-recordRoom && at.Sub(s.from) < h.settings.Keep/segmentsOfTime && !at.Before(s.to.Add(-setBack)) && !h.enc.full() {
			return s
		}
		s.data = slices.Clip(slices.Clone(s.data))
	}
	s := &segment{number: h.next, data: append(make([]byte, 0, recordRoom), magic...)}
	h.next++
	h.segments, h.enc = append(h.segments, s), newEncoder()
	return s
}

// Kept returns what the history holds.
func (h *History) Kept() Kept {
	h.tail.mu.Lock()
	workers := h.tail.dropped
	h.tail.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	out := Kept{MaxBytes: h.settings.MaxBytes, Stored: h.stored, Why: h.why, Counts: h.counts}
	out.Counts.Workers = workers
	for _, s := range h.segments {
		out.Bytes += cap(s.data)
		if s.samples == 0 {
			continue
		}
		if out.From.IsZero() || s.from.Before(out.From) {
			out.From = s.from
		}
		if s.to.After(out.To) {
			out.To = s.to
		}
	}
	return out
}

// Observe takes what one gather read, with which the samples that follow are joined: the
// statements of connections, and who waits for whom.
func (h *History) Observe(at time.Time, s *model.State) { h.join.observe(at, s) }
