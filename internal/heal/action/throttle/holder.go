package throttle

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/appside/control"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/ticks"
)

// every is between two measurements of the conditions.
const every = time.Second

// Control is the writer of control files; [control.Writer] is one.
type Control interface {
	SetThrottle(app string, t control.Throttle) error
	EndThrottle(app string) error
}

// Options are what a [Holder] needs.
type Options struct {
	Control  Control
	Enforced func() bool // false: the mode of the configuration is not enforce any more
	MayRaise func() bool // false: nothing may be begun, as in a pause; a throttle is held or lowered
	// Call calls a person for the alert of a throttle that has lasted for max_time.
	Call   func(ctx context.Context, rule, fingerprint string)
	Logger *slog.Logger
}

// ending is why a throttle has ended; "": it has not.
type ending string

const (
	endHealthy  ending = "it is not needed any more"
	endMaxTime  ending = "it has lasted for max_time: a person is called"
	endUnknown  ending = "its component could not be judged until the end of the lease"
	endMode     ending = "healing is not in mode enforce any more"
	endFailed   ending = "the step did not help"
	endReplaced ending = "another one has begun"
	endExporter ending = "the exporter ends"
)

// Holder holds the throttles: it renews each while its condition holds, changes its share,
// and ends it. Its methods may be called by several goroutines.
type Holder struct {
	o Options

	mu   sync.Mutex
	held map[string]*hold // by app
	// spent has the last throttle of each app that ended by max_time, until its component
	// was healthy once. Only apps with a control file are in it, whose number is bounded.
	spent map[string]*hold
}

// NewHolder returns a Holder without throttles.
func NewHolder(o Options) *Holder {
	o.Logger = logs.Or(o.Logger)
	return &Holder{o: o, held: make(map[string]*hold), spent: make(map[string]*hold)}
}

// hold is one throttle.
type hold struct {
	app, rule, fingerprint string
	c                      config.Throttle
	shares                 shares
	condition              func() (bool, error)

	at             int // which of the shares is asked
	began, changed time.Time
	until          time.Time // in the file
	ended          ending
}

// percent returns the current percentage of requests to shed, 0 with a target.
func (h *hold) percent() int { return h.shares[h.at] }

// Holds reports whether an app has a throttle that has not ended.
func (h *Holder) Holds(app string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held[app] != nil
}

// isSpent reports whether the last throttle of an app ended by max_time, and its component
// has not been healthy since.
func (h *Holder) isSpent(app string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.spent[app] != nil
}

// endOf returns why a throttle has ended; "": it has not.
func (h *Holder) endOf(x *hold) ending {
	h.mu.Lock()
	defer h.mu.Unlock()
	return x.ended
}

// Percents returns by app the percentage, 0 to 100, of each throttle that has not ended. It
// is 0 with a target.
func (h *Holder) Percents() map[string]float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make(map[string]float64, len(h.held))
	for app, x := range h.held {
		out[app] = float64(x.percent())
	}
	return out
}

// Held is one throttle that is in force.
type Held struct {
	App          string
	Percent      float64 // 0: it follows a target
	Since, Until time.Time
}

// Held returns the throttles that are in force, sorted by app.
func (h *Holder) Held() []Held {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]Held, 0, len(h.held))
	for _, app := range slices.Sorted(maps.Keys(h.held)) {
		x := h.held[app]
		out = append(out, Held{app, float64(x.percent()), x.began, x.until})
	}
	return out
}

// begin starts a throttle. It replaces the one that the app has, which stays if the control
// file cannot be written: then the error says so.
func (h *Holder) begin(x *hold, now time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	x.began, x.changed = now, now
	if err := h.write(x, now); err != nil {
		return err
	}
	if before := h.held[x.app]; before != nil {
		before.ended = endReplaced
	}
	h.held[x.app] = x
	h.o.Logger.Info("Throttle begins", "app", x.app, "rule", x.rule, "percent", x.percent(), "target", x.c.Target, "until", x.until)
	return nil
}

// write writes to the control file that the app sheds requests until the lease that begins
// now expires, at most until max_time after x began. It sets x.until to that, unless it fails.
func (h *Holder) write(x *hold, now time.Time) error {
	until := now.Add(x.c.TTL)
	if end := x.began.Add(x.c.MaxTime); until.After(end) {
		until = end
	}
	t := control.Throttle{Percent: float64(x.percent()), Target: x.c.Target, Until: until}
	if err := h.o.Control.SetThrottle(x.app, t); err != nil {
		return err
	}
	x.until = until
	return nil
}

// end ends a throttle with a reason. It does nothing if the throttle has ended already.
func (h *Holder) end(x *hold, why ending) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held[x.app] == x {
		h.release(x, why)
	}
}

// release ends a throttle; the caller holds the lock. If the file cannot be removed now,
// its writer tries again, and the file has an end of its own.
func (h *Holder) release(x *hold, why ending) {
	x.ended = why
	delete(h.held, x.app)
	h.o.Logger.Info("Throttle ended", "app", x.app, "rule", x.rule, "reason", string(why))
	if err := h.o.Control.EndThrottle(x.app); err != nil {
		h.o.Logger.Warn("Control file still asks for the throttle", "app", x.app, "until", x.until, "err", err)
	}
}

// Run updates the throttles until ctx ends, then ends them and returns nil.
func (h *Holder) Run(ctx context.Context) error {
	t := ticks.New(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			for _, x := range h.all(h.held) {
				h.end(x, endExporter)
			}
			return nil
		case <-t.C:
			t.Again()
			h.continueAll(ctx, time.Now())
		}
	}
}

// continueAll updates each throttle to the present: it raises, lowers, extends or ends
// it, and calls a person if it did not help. It allows new ones for apps that are well
// again.
func (h *Holder) continueAll(ctx context.Context, now time.Time) {
	for _, x := range h.all(h.held) {
		holds, err := x.condition() // without the lock: it reads the last judgement
		if person := h.next(x, holds, err, now); person {
			h.o.Call(ctx, x.rule, x.fingerprint)
		}
	}
	for _, x := range h.all(h.spent) {
		if holds, err := x.condition(); err == nil && !holds {
			h.renew(x)
		}
	}
}

// all returns the throttles of a map of the Holder, as of now, in no order.
func (h *Holder) all(of map[string]*hold) []*hold {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Values(of))
}

// renew allows a new throttle for an app whose last one ended by max_time.
func (h *Holder) renew(x *hold) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.spent[x.app] == x {
		delete(h.spent, x.app)
	}
}

// next ends or adjusts one throttle by whether its condition still holds; if that is not
// known (err), it stays until its lease is over. Without enforcement it ends at once. It
// reports whether a person must be called: the throttle has reached its max_time, and has
// ended.
func (h *Holder) next(x *hold, holds bool, err error, now time.Time) (person bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.held[x.app] != x: // it has ended meanwhile
	case !h.o.Enforced():
		h.release(x, endMode)
	case !now.Before(x.began.Add(x.c.MaxTime)):
		h.release(x, endMaxTime)
		h.spent[x.app] = x
		return true
	case !now.Before(x.until):
		h.release(x, endUnknown)
	case err != nil: // the lease runs out unless it is known again
	case !h.step(x, holds, now):
		h.release(x, endHealthy)
	}
	return false
}

// step raises or lowers the percentage of a throttle, or extends it, and returns true, also
// if the file cannot be written. During a pause of healing it does not raise it. It returns
// false if the percentage would fall below the first one: the throttle is over.
func (h *Holder) step(x *hold, holds bool, now time.Time) bool {
	before := x.at
	if holds && x.c.Target > 0 { // it ends when nothing was to be shed for the whole time
		x.changed = now
	}
	if now.Sub(x.changed) >= x.c.Ramp {
		switch {
		case holds && x.at < len(x.shares)-1 && h.o.MayRaise():
			x.at++
		case !holds && x.at == 0:
			return false
		case !holds:
			x.at--
		}
	}
	if x.at == before && x.until.Sub(now) > x.c.TTL*2/3 {
		return true
	}
	if err := h.write(x, now); err != nil { // it is tried again, until the lease is over
		x.at = before
		return true
	}
	if x.at != before {
		x.changed = now
		h.o.Logger.Info("Throttle changed", "app", x.app, "rule", x.rule, "percent", x.percent(), "until", x.until)
	}
	return true
}
