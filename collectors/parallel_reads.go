package collectors

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// eachServer calls read for n servers concurrently and waits for all. Their ctx ends
// after 80 % of the remaining time, so that one that hangs does not delay the results of
// the others. If read panics, panicked is called with the panic as an error.
func eachServer(ctx context.Context, n int, read func(ctx context.Context, i int), panicked func(i int, err error)) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)*8/10)
		defer cancel()
	}
	one := func(i int) {
		defer func() {
			if r := recover(); r != nil {
				panicked(i, fmt.Errorf("panic: %v", r))
			}
		}()
		read(ctx, i)
	}
	var wg sync.WaitGroup
	for i := range n - 1 {
		wg.Go(func() {
			growStack()
			one(i)
		})
	}
	if n > 0 {
		one(n - 1) // no goroutine of its own
	}
	wg.Wait()
}

// growStack grows the stack of a new goroutine at once to the 16 KiB that reading a source
// takes. Step by step, and the deeper the calls are by then, that costs several times as
// much: the runtime copies the stack, and adjusts each frame. The result is 0, and only
// keeps the array from being optimized away.
//
//go:noinline
func growStack() byte {
	var room [10 << 10]byte
	return room[len(room)/2]
}
