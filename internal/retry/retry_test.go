package retry_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/retry"
)

func TestDelay(t *testing.T) {
	b := retry.Backoff{First: time.Second, Max: time.Minute}
	for n, want := range []time.Duration{0, 1, 2, 4, 8, 16, 32, 60, 60} {
		if got := b.Delay(n); got != want*time.Second {
			t.Errorf("after %d failures %s, want %d s", n, got, want)
		}
		for range 100 {
			if got := b.Jittered(n); got < want*time.Second/2 || got > want*time.Second {
				t.Fatalf("after %d failures %s, want up to %d s", n, got, want)
			}
		}
	}
	for _, n := range []int{-1, math.MinInt} {
		if got := b.Delay(n); got != 0 {
			t.Errorf("after %d failures %s", n, got)
		}
	}
	for _, n := range []int{64, 1 << 30, math.MaxInt} {
		if got := b.Delay(n); got != time.Minute {
			t.Errorf("after %d failures %s", n, got)
		}
	}
	if got := (retry.Backoff{First: time.Minute, Max: time.Second}).Delay(1); got != time.Second {
		t.Error(got)
	}
	if got := (retry.Backoff{First: time.Second, Max: math.MaxInt64}).Delay(1000); got <= 0 {
		t.Errorf("it overflows: %s", got)
	}
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if !retry.Sleep(t.Context(), time.Hour) || time.Since(began) != time.Hour {
			t.Errorf("slept for %s", time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if retry.Sleep(ctx, time.Hour) || time.Since(began) != time.Hour+time.Minute {
			t.Errorf("slept until %s", time.Since(began))
		}
		if retry.Sleep(ctx, 0) {
			t.Error("a context that has ended")
		}
	})
}
