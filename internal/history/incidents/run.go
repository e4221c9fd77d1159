package incidents

import (
	"context"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/ticks"
)

// Run reads what the state directory has and writes there what was recorded, once a second
// and when ctx ends. It returns nil: lines that cannot be written stay queued.
func (r *Recorder) Run(ctx context.Context) error {
	r.load(time.Now())
	t := ticks.New(writePeriod)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			r.write(time.Now())
			r.store.close()
			return nil
		case now := <-t.C:
			t.Again()
			r.write(now)
		}
	}
}
