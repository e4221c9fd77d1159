package scaleworkers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strconv"
	"syscall"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/heal/workers"
	"github.com/resp-exporter/resp-exporter/internal/procid"
)

// The keys of [action.Hold.Info], beside those of [process.Info].
const (
	keyApp     = "app"
	keyWorkers = "workers" // pid:start of each worker, as last seen
	keyOdd     = "odd"     // when the number was first seen to be another one, in seconds since 1970
	keyBack    = "back"    // "1": TTOU was sent, or was about to be
)

// Hold implements [action.Holder]; false for a plan that another process has made. From is
// the number of workers before the first run on the same master, or now if that is smaller.
// To is one more than now; if a worker still ends after TTOU, the number now, as it counts it.
func (r *Action) Hold(p action.Plan, before *action.Hold) (action.Hold, bool) {
	t, ok := p.Private.(*target)
	if !ok || len(p.Victims) != 1 {
		return action.Hold{}, false
	}
	h := action.Hold{For: r.c.Hold, From: t.number, To: t.number + 1, Info: process.Info(t.master)}
	h.Info[keyApp], h.Info[keyWorkers] = t.app, remembered(t.seen)
	if before != nil && sameMaster(before, t.master) {
		h.From, h.Since = min(before.From, t.number), before.Since
		if before.Info[keyBack] != "" && t.number == before.To+1 {
			h.To = t.number
		}
	}
	return h, true
}

// sameMaster reports whether a hold was made for this master process; false if the hold
// names none.
func sameMaster(h *action.Hold, master procid.Identity) bool {
	id, ok := process.IdentityFrom(h.Info, "")
	return ok && id.Same(master)
}

// PlanReturn implements [action.Holder]. Nothing is to be done unless over is true, while workers come
// and go, or while the app is saturated and the hold not older than [action.MaxHold]; else giveBack
// removes one worker. The hold ends if the process of h is not known or has ended, if all workers
// were replaced at once, or once another number than the one that was set has stayed.
func (r *Action) PlanReturn(ctx context.Context, h action.Hold, over bool) (action.Return, error) {
	was, ok := process.IdentityFrom(h.Info, "")
	if !ok {
		return action.Return{Ended: "it is not known which process it is about"}, nil
	}
	master, err := procid.Identify(r.d.ProcRoot, was.PID)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return action.Return{}, err // for a moment only: it is tried again
	case err != nil || !master.Same(was):
		return action.Return{Ended: "the server was restarted, which has set its own number of workers"}, nil
	}
	app, err := r.state(ctx, h.Info[keyApp], master)
	if err != nil {
		return action.Return{}, err
	}
	next := h
	next.Info = maps.Clone(h.Info)
	if !workers.CheckSteady(r.d.ProcRoot, app).IsZero() {
		return action.Return{Next: next}, nil // workers come and go: their number says nothing now
	}
	seen := identities(r.d.ProcRoot, app)
	if reloaded(h.Info[keyWorkers], seen, app.Workers) {
		return action.Return{Ended: fmt.Sprintf("the server was reloaded, which has set its number of workers to %d", len(app.Workers))}, nil
	}
	next.Info[keyWorkers] = remembered(seen)
	n := len(app.Workers)
	if n != h.To {
		return r.otherNumber(next, n, time.Now()), nil
	}
	delete(next.Info, keyOdd)
	delete(next.Info, keyBack)
	if !over || loadOf(app).saturated() && time.Since(h.Since) < action.MaxHold {
		return action.Return{Next: next}, nil
	}
	return r.giveBack(next, master), nil
}

// otherNumber returns what to do if the number of workers is not the one that was set. It
// waits for the time that a worker needs to end (endTime, if one was asked to end and has
// not): only a number that stays was set by somebody else, and then the hold ends.
func (r *Action) otherNumber(h action.Hold, n int, now time.Time) action.Return {
	odd, err := strconv.ParseInt(h.Info[keyOdd], 10, 64)
	if err != nil {
		h.Info[keyOdd] = strconv.FormatInt(now.Unix(), 10)
		return action.Return{Next: h}
	}
	was, _ := process.IdentityFrom(h.Info, "")
	wait := r.grace(was.PID) + settleTime
	if h.Info[keyBack] != "" && n == h.To+1 {
		wait = endTime
	}
	switch {
	case now.Sub(time.Unix(odd, 0)) < wait:
		return action.Return{Next: h}
	case n == h.From:
		return action.Return{Ended: fmt.Sprintf("there are %d workers as before", n)}
	case wait == endTime:
		return action.Return{Ended: fmt.Sprintf("a worker does not end after TTOU, or the exporter ended before it sent it: there are %d workers, %d before", n, h.From)}
	}
	return action.Return{Ended: fmt.Sprintf("somebody else has set the number of workers to %d", n)}
}

// giveBack returns the step that removes one worker, or the end of the hold if there are as many as
// before, or only one. gunicorn lets its oldest worker finish its requests and end.
func (r *Action) giveBack(h action.Hold, master procid.Identity) action.Return {
	t := &target{app: h.Info[keyApp], master: master, number: h.To}
	h.To--
	h.Info[keyBack] = "1"
	if h.To < max(h.From, 1) {
		return action.Return{Ended: fmt.Sprintf("there are %d workers as before", t.number)}
	}
	return action.Return{Next: h, Do: func(ctx context.Context) error {
		return r.signal(ctx, t, syscall.SIGTTOU, func(app *discovery.App) action.Refusal { return workers.CheckSteady(r.d.ProcRoot, app) })
	}}
}
