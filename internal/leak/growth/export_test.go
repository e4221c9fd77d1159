package growth

import (
	"context"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/leak/watch"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/pystack/census"
)

// Counted is one census of a test.
type Counted struct {
	Anon       float64
	Types      map[uint64]uint64
	Containers []census.Container
	Incomplete bool
}

// Judge judges censuses that were taken five minutes apart.
func Judge(all []Counted, found *census.Found) model.HeapCensus {
	var samples []sample
	for i, c := range all {
		s := sample{at: time.Unix(int64(300*i), 0), anon: c.Anon, types: c.Types, containers: map[uint64]census.Container{}, complete: !c.Incomplete}
		s.add(c.Containers)
		samples = append(samples, s)
	}
	return judge(samples, containersThatGrow(samples), typesThatGrow(samples), found)
}

// SetMaxCPU sets how much CPU time a pass may use.
func (w *Watcher) SetMaxCPU(d time.Duration) { w.maxCPU = d }

// Next returns the worker to study.
func (w *Watcher) Next(now time.Time) (watch.Suspect, bool) { return w.next(now) }

// Study studies a worker once.
func (w *Watcher) Study(ctx context.Context, s watch.Suspect) { w.study(ctx, s) }

// End ends a study of a worker.
func (w *Watcher) End(s watch.Suspect, c model.HeapCensus) { w.tell(s, c, true) }

// Do calls f as a study does.
func (w *Watcher) Do(f func() error) error { return (&study{w: w}).do(f) }

// Hung returns how many reads hang.
func (w *Watcher) Hung() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range w.hung {
		n += x
	}
	return n
}

// Refused returns how many reads were given up, or not begun.
func (w *Watcher) Refused() uint64 { return w.dog.Refused() }

// Complete and ReasonOf are those of a study.
var (
	Complete = complete
	ReasonOf = reasonOf
)
