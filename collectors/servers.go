package collectors

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// eachServer reads n servers side by side and waits for all. They get less
// time than there is: one that hangs must not cost the others theirs. A panic
// in one read goes to panicked, and costs neither the other servers nor the
// exporter.
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
