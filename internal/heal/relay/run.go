package relay

import (
	"context"
	"errors"
	"sync"
)

// Run registers this exporter, sends waiting alerts and reads the entries for it, until ctx
// ends. The error is that of closing the files.
func (r *Relay) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, loop := range []func(context.Context){r.register, r.send, r.receive} {
		wg.Go(func() { loop(ctx) })
	}
	wg.Wait()
	return errors.Join(r.seen.close(), r.disk.close())
}
