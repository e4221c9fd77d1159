package gil

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
)

// What counts is the part of the time that a thread waits for the lock.
func TestPartOfTheTime(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		of   []ledger.On // a sample each 100 ms, over and over
		each int         // samples a request; 0: all are one
		last bool        // it waits at the end of 10 s
	}{
		"always":                     {[]ledger.On{ledger.GIL}, 0, true},
		"nine in ten":                {[]ledger.On{ledger.GIL, ledger.GIL, ledger.GIL, ledger.GIL, ledger.CPU, ledger.GIL, ledger.GIL, ledger.GIL, ledger.GIL, ledger.GIL}, 0, true},
		"short waits for Redis":      {[]ledger.On{ledger.GIL, ledger.GIL, ledger.GIL, ledger.Redis}, 0, true},
		"one in five":                {[]ledger.On{ledger.CPU, ledger.CPU, ledger.CPU, ledger.GIL, ledger.CPU}, 0, false},
		"never":                      {[]ledger.On{ledger.CPU, ledger.MySQL}, 0, false},
		"short requests":             {[]ledger.On{ledger.GIL, ledger.GIL, ledger.GIL, ledger.Idle}, 0, false},
		"three in each request":      {[]ledger.On{ledger.GIL}, 3, false},
		"an event loop between them": {[]ledger.On{ledger.GIL, ledger.GIL, ledger.Loop}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := time.Unix(1000, 0)
			began := now
			var g Wait
			request := func(i int) time.Time {
				if c.each == 0 {
					return began
				}
				return began.Add(time.Duration(i/c.each) * time.Second)
			}
			for i := range 100 {
				now = now.Add(100 * ms)
				g.Add(c.of[i%len(c.of)], request(i), 100*ms, now)
			}
			if g.Waits != c.last || c.last && now.Sub(g.First) < now.Sub(began)-200*ms {
				t.Errorf("%+v at %s", g, now.Sub(began))
			}
			for range 30 { // then it computes
				now = now.Add(100 * ms)
				g.Add(ledger.CPU, request(99), 100*ms, now)
			}
			if g != (Wait{started: g.started}) {
				t.Errorf("it is not over: %+v", g)
			}
		})
	}
}

// The holder is the one that has the lock for most of the time; threads that share it
// evenly hold it in turn, and none is named.
func TestOneHolder(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		of   []int
		want int // 0: none
	}{
		"one":        {[]int{7}, 7},
		"mostly one": {[]int{7, 7, 7, 7, 9}, 7},
		"not seen":   {[]int{0}, 0},
		"four":       {[]int{7, 8, 9, 10}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := time.Unix(1000, 0)
			var h Holder
			for i := range 100 {
				now = now.Add(100 * time.Millisecond)
				h.Add(c.of[i%len(c.of)], 100*time.Millisecond, now)
			}
			if h.Known() != (c.want != 0) || c.want != 0 && h.TID != c.want {
				t.Errorf("%+v", h)
			}
			for range 20 {
				now = now.Add(100 * time.Millisecond)
				h.Add(11, 100*time.Millisecond, now)
			}
			if !h.Known() || h.TID != 11 || now.Sub(h.Since) > 2*time.Second {
				t.Errorf("the new holder: %+v", h)
			}
		})
	}
}
