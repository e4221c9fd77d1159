package discovery

import (
	"context"
	"fmt"
)

// lock takes the watcher's lock, or returns an error when ctx ends first.
func (w *Watcher) lock(ctx context.Context) error {
	select {
	case <-w.token:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for another scan of processes: %w", ctx.Err())
	}
}

// unlock returns the watcher's lock.
func (w *Watcher) unlock() { w.token <- struct{}{} }
