package discovery

import (
	"context"
	"fmt"
)

func (w *Watcher) lock(ctx context.Context) error {
	select {
	case <-w.turn:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for another look at the processes: %w", ctx.Err())
	}
}

func (w *Watcher) unlock() { w.turn <- struct{}{} }
