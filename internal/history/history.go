package history

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/history/files"
	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/ticks"
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
	MaxBytes int           // in the state directory; in memory where that cannot be written
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
// runs. It may be queried after Run too. Its exported methods may be called by several goroutines.
type History struct {
	o    Options
	log  *slog.Logger
	tail tail
	join joins

	mu      sync.Mutex // guards what follows; never held while a file is read or written
	memory  memory
	reading *files.Dir // of segments that are in files alone; nil: it was not opened yet
	stored  bool
	why     error

	store storage // used by Run alone
}

// New returns a History. It reads and samples nothing before [History.Run].
func New(o Options) *History {
	return &History{o: o, log: logs.Or(o.Logger), memory: memory{settings: o.Settings, next: 1}, store: storage{path: o.StateDir}, tail: newTail()}
}

// Apply sets other settings, in force from the next sample on.
func (h *History) Apply(s Settings) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.memory.settings = s
}

// Run loads the history in the state directory, then takes and stores a sample each
// second until ctx ends. It returns nil: without a state directory the history is kept in
// memory.
func (h *History) Run(ctx context.Context) error {
	h.open(time.Now())
	defer h.store.close()
	t := ticks.New(period)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			h.save(time.Now())
			return nil
		case now := <-t.C:
			t.Again()
			h.sample(now)
			h.save(now)
		}
	}
}

// sample samples all workers once. It logs a panic, which loses only this sample.
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

// Record adds a sample to the history: what requests did at a time. Requests beyond the
// limits are counted. If no time is to be kept, it empties the history.
func (h *History) Record(at time.Time, requests []Request) {
	requests, dropped := bounded(requests)
	for i := range requests {
		fit(&requests[i])
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.memory.counts.Requests += uint64(dropped) //nolint:gosec // a number of requests
	if h.memory.settings.Keep <= 0 {
		h.memory.segments, h.memory.enc = nil, nil
		return
	}
	s := h.memory.openSegment(at)
	var left uint64
	s.data, left = h.memory.enc.append(s.data, at, requests)
	s.add(time.UnixMilli(h.memory.enc.last)) // as it is in the file
	s.stored = false
	h.memory.counts.Details += left
	h.memory.evict(at)
}

// bounded returns the requests of a sample that are kept, the longest ones, at most
// maxOfApp of an app and maxRequests in all, and how many are not. It may sort list.
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

// Kept returns from when to when the history goes, its size, and what was left out. The
// times are zero if it is empty.
func (h *History) Kept() Kept {
	h.tail.mu.Lock()
	workers := h.tail.dropped
	h.tail.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	out := Kept{MaxBytes: h.memory.settings.MaxBytes, Stored: h.stored, Why: h.why, Counts: h.memory.counts}
	out.Counts.Workers = workers
	for _, s := range h.memory.segments {
		out.Bytes += s.length()
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

// Observe stores the state of one gather. The samples after it take from it the
// statements of connections, and who waits for whom.
func (h *History) Observe(at time.Time, s *model.State) { h.join.observe(at, s) }
