package collectors

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// eachServer calls read for n servers concurrently and waits for all. They get 80 % of
// the remaining time, so that the results of the others are in time if one hangs. If a
// read panics, panicked is called with it as an error.
func eachServer(ctx context.Context, n int, read func(ctx context.Context, i int), panicked func(i int, err error)) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)*8/10)
		defer cancel()
	}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			defer func() {
				if r := recover(); r != nil {
					panicked(i, fmt.Errorf("panic: %v", r))
				}
			}()
			read(ctx, i)
		})
	}
	wg.Wait()
}
