package incidents

import (
	"context"
	"time"
)

// Run writes what was recorded, once a second, until ctx ends.
func (r *Recorder) Run(ctx context.Context) error {
	r.load(time.Now())
	t := time.NewTicker(writePeriod)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			r.write(time.Now())
			r.store.close()
			return nil
		case now := <-t.C:
			r.write(now)
		}
	}
}
