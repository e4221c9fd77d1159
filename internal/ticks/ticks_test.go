package ticks_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/ticks"
)

// Timers that are made at different times fire at the same ones, once a period, those of a
// multiple at some of them.
func TestTimers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fires := func(period time.Duration, n int) (at []time.Time) {
			x := ticks.New(period)
			defer x.Stop()
			for range n {
				at = append(at, <-x.C)
				time.Sleep(3 * time.Millisecond) // the work
				x.Again()
			}
			return at
		}
		first := fires(time.Second, 3)
		time.Sleep(333 * time.Millisecond)
		second := fires(time.Second, 2)
		fifth := fires(5*time.Second, 2)
		for _, at := range append(append(first[1:], second...), fifth...) {
			if d := at.Sub(first[0]); d%time.Second != 0 {
				t.Errorf("a tick %s after the first", d)
			}
		}
		if d := first[2].Sub(first[0]); d != 2*time.Second {
			t.Errorf("two ticks in %s", d)
		}
		if d := fifth[1].Sub(fifth[0]); d != 5*time.Second {
			t.Errorf("each %s", d)
		}
	})
}

// A task that takes longer than the period leaves ticks out.
func TestSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := ticks.New(time.Second)
		defer x.Stop()
		first := <-x.C
		time.Sleep(2500 * time.Millisecond)
		x.Again()
		if d := (<-x.C).Sub(first); d != 3*time.Second {
			t.Errorf("after %s", d)
		}
	})
}
