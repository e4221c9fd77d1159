package throttle_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/appside/control"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/throttle"
)

// held is a Holder with a writer of real files, and what a test sets.
type held struct {
	*throttle.Holder

	writer   *control.Writer
	mu       sync.Mutex
	holds    bool
	err      error
	enforced bool
	paused   bool
	called   []string
	stop     func()
}

// start runs a Holder with a throttle of the app shop.
func start(t *testing.T, dir string, c config.Throttle) *held {
	t.Helper()
	h := &held{writer: control.New(dir, nil), holds: true, enforced: true}
	h.Holder = throttle.NewHolder(throttle.Options{
		Control:  h.writer,
		Enforced: func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.enforced },
		MayRaise: func() bool { h.mu.Lock(); defer h.mu.Unlock(); return !h.paused },
		Call:     func(_ context.Context, rule, fingerprint string) { h.called = append(h.called, rule+" "+fingerprint) },
	})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = h.writer.Run(ctx) })
	wg.Go(func() { _ = h.Run(ctx) })
	h.stop = func() { cancel(); wg.Wait() }
	synctest.Wait()
	err := h.Begin(throttle.New(throttle.Deps{}, c), "shop", func() (bool, error) { h.mu.Lock(); defer h.mu.Unlock(); return h.holds, h.err })
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// set changes what the condition is.
func (h *held) set(holds bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.holds, h.err = holds, err
}

// percents returns the share in the file each few seconds, "-" for no file.
func (h *held) percents(n int, every time.Duration) string {
	var out []string
	for range n {
		time.Sleep(every)
		if p := h.writer.Asked("shop").Throttle; p != nil {
			out = append(out, fmt.Sprint(p.Percent))
		} else {
			out = append(out, "-")
		}
	}
	return strings.Join(out, " ")
}

// settings are those of the tests.
func settings() config.Throttle {
	return config.Throttle{Percent: 80, Component: "memory", TTL: time.Minute, Ramp: 30 * time.Second, MaxTime: 20 * time.Minute}
}

// The share rises while the condition holds, and falls when it does not.
func TestRamp(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := start(t, dir, settings())
		defer h.stop()
		time.Sleep(time.Second)
		if got := h.percents(5, 30*time.Second); got != "30 60 80 80 80" {
			t.Errorf("up: %s", got)
		}
		h.set(false, nil)
		time.Sleep(time.Second)
		h.set(true, nil)
		if got := h.percents(2, 30*time.Second); got != "80 80" && got != "60 80" {
			t.Errorf("a short pause: %s", got)
		}
		h.set(false, nil)
		time.Sleep(2 * time.Second)
		if got := h.percents(6, 30*time.Second); !strings.Contains(got, "30 10 -") || !strings.HasPrefix(got, "30 10 -") {
			t.Errorf("down: %s", got)
		}
		if h.Holds("shop") || len(h.called) > 0 {
			t.Errorf("holds %t, called %v", h.Holds("shop"), h.called)
		}
	})
}

// The lease is renewed, also when the share stays, and never lasts longer than its time.
func TestRenewed(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := start(t, dir, settings())
		defer h.stop()
		for range 1100 {
			time.Sleep(time.Second)
			if p := h.writer.Asked("shop").Throttle; p == nil || time.Until(p.Until) < 35*time.Second || time.Until(p.Until) > time.Minute {
				t.Fatalf("the lease: %+v", p)
			}
		}
	})
}

func TestEndsOfThrottle(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*held)
		wait   time.Duration // until it has ended at the latest
		least  time.Duration // it has not ended before
		called int
	}{
		"max_time":           {func(*held) {}, 20*time.Minute + 2*time.Second, 20 * time.Minute, 1},
		"condition unknown":  {func(h *held) { h.set(true, errors.New("too old")) }, 62 * time.Second, 38 * time.Second, 0},
		"not enforced":       {func(h *held) { h.mu.Lock(); h.enforced = false; h.mu.Unlock() }, 2 * time.Second, 0, 0},
		"the exporter stops": {func(h *held) { h.stop() }, time.Second, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				h := start(t, dir, settings())
				c.change(h)
				began := time.Now()
				for h.Holds("shop") && time.Since(began) < time.Hour {
					time.Sleep(time.Second)
				}
				if took := time.Since(began); took > c.wait || took < c.least {
					t.Errorf("it ended after %s, want %s to %s", took, c.least, c.wait)
				}
				if h.writer.Asked("shop").Throttle != nil || len(h.called) != c.called || len(h.Percents()) > 0 {
					t.Errorf("asked %+v, called %v, percents %v", h.writer.Asked("shop"), h.called, h.Percents())
				}
				h.stop()
			})
		})
	}
}

// In a pause, or while nothing may be begun, a throttle is renewed and lowered, and not raised.
func TestPaused(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := start(t, dir, settings())
		defer h.stop()
		pause := func(on bool) { h.mu.Lock(); h.paused = on; h.mu.Unlock() }
		time.Sleep(time.Second)
		pause(true)
		if got := h.percents(3, 40*time.Second); got != "10 10 10" {
			t.Errorf("not raised: %s", got)
		}
		pause(false)
		if got := h.percents(2, 20*time.Second); got != "30 60" {
			t.Errorf("raised after it: %s", got)
		}
		pause(true)
		h.set(false, nil)
		if got := h.percents(4, 31*time.Second); !strings.HasPrefix(got, "30 10 -") {
			t.Errorf("lowered: %s", got)
		}
	})
}

// A condition that is unknown for a while does not end the throttle.
func TestUnknownForAWhile(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := start(t, dir, settings())
		defer h.stop()
		time.Sleep(10 * time.Second)
		h.set(false, errors.New("too old"))
		time.Sleep(20 * time.Second)
		h.set(true, nil)
		time.Sleep(90 * time.Second)
		if !h.Holds("shop") {
			t.Error("it has ended")
		}
	})
}

// With a ramp of 0 the whole percentage is requested at once, and with a target no
// percentage.
func TestAtOnce(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := settings()
		c.Ramp = 0
		h := start(t, dir, c)
		if p := h.writer.Asked("shop").Throttle; p == nil || p.Percent != 80 {
			t.Errorf("asked %+v", p)
		}
		h.stop()
	})
	dir = t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := settings()
		c.Percent, c.Target = 0, 300*time.Millisecond
		h := start(t, dir, c)
		time.Sleep(2 * time.Minute)
		if p := h.writer.Asked("shop").Throttle; p == nil || p.Percent != 0 || p.Target != c.Target {
			t.Errorf("asked %+v", p)
		}
		h.stop()
	})
}
