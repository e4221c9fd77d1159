package recycleworker

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/workers"
)

// choose returns the worst of the workers that are proved to be workers, with the proof,
// or why the app may not lose one for a while. It returns neither a worker nor a refusal
// when there is nothing to do.
func (r *Action) choose(ctx context.Context, app *discovery.App) (*candidate, *workers.Proven, action.Refusal, error) {
	if refused := r.notReady(app); !refused.IsZero() {
		return nil, nil, refused, nil
	}
	list, refused, err := r.candidates(ctx, app)
	if !refused.IsZero() || err != nil {
		return nil, nil, refused, err
	}
	known, err := workers.Prove(ctx, r.d.ProcRoot, app)
	if err != nil {
		return nil, nil, action.Refusal{}, err
	}
	sure := known.Only(app)
	if n := max(r.c.MinWorkers, minWorkers); len(sure.Workers) < n {
		return nil, nil, action.Refuse(action.CodeUnproven, "only %d of %d processes are proved to be workers, minimum %d: %s", len(sure.Workers), len(app.Workers), n, known.Doubt), nil
	}
	fit := slices.DeleteFunc(slices.Clone(list), func(p candidate) bool { return !known.Workers[p.worker.PID] })
	if len(fit) == 0 && len(list) > 0 {
		return nil, nil, action.Refuse(action.CodeUnproven, "no candidate is proved to be a worker: %s", known.Doubt), nil
	}
	waiting := r.victims(ctx, fit)
	fit, refused = r.notVictims(app, fit, waiting)
	switch {
	case !refused.IsZero():
		return nil, nil, refused, nil
	case r.c.Pick == config.PickStuck && 2*len(fit) > len(sure.Workers):
		return nil, nil, action.Refuse(action.CodeCommonCause, "%d of %d workers are stuck, so the cause is outside the workers: recycling one does not help", len(fit), len(sure.Workers)), nil
	}
	best, refused, err := r.oldEnough(sure, fit, waiting)
	return best, known, refused, err
}

// nobody is [Victims] without any.
type nobody struct{}

func (nobody) WhyWorker(string, string, int) string { return "" }
func (nobody) HoldsUp(string, string, int) bool     { return false }

// victims returns who only waits for others now; nobody if there is no candidate, or that
// cannot be asked.
func (r *Action) victims(ctx context.Context, fit []candidate) Victims {
	if r.d.Victims == nil || len(fit) == 0 {
		return nobody{}
	}
	return r.d.Victims(ctx)
}

// notVictims returns the candidates that are not slow because of another component, or
// why none may be recycled. Of stuck workers it removes only the victims. If the largest
// worker, or the one that leaks most, is a victim, it returns none.
func (r *Action) notVictims(app *discovery.App, list []candidate, v Victims) (fit []candidate, refused action.Refusal) {
	slices.SortStableFunc(list, byValue)
	for i := range list {
		w := &list[i].worker
		why := v.WhyWorker(app.Name, strconv.Itoa(w.Slot), w.PID)
		if why == "" {
			fit = append(fit, list[i])
			continue
		}
		if refused.IsZero() {
			refused = action.Refuse(action.CodeVictim, "worker %d of %s only waits for somebody else: %s", w.Slot, app.Name, why)
		}
		if r.c.Pick != config.PickStuck && len(fit) == 0 {
			return nil, refused
		}
	}
	if len(fit) > 0 {
		refused = action.Refusal{}
	}
	return fit, refused
}

// byValue compares two candidates, the worst first, of equal ones the oldest, as
// slices.SortFunc takes it.
func byValue(x, y candidate) int {
	switch {
	case x.value > y.value:
		return -1
	case x.value < y.value:
		return 1
	}
	return x.worker.Start.Compare(y.worker.Start)
}

// candidates returns the workers that pick allows, as far as discovery knows; there may be
// none. A refusal: it is not known which are stuck, lose memory or leak, or pick is unknown.
// An error: the leaks could not be read.
func (r *Action) candidates(ctx context.Context, app *discovery.App) ([]candidate, action.Refusal, error) {
	switch r.c.Pick {
	case config.PickLargest:
		return largest(app), action.Refusal{}, nil
	case config.PickLeaking:
		if r.d.Memory == nil {
			return nil, action.Refuse(action.CodeLeaksUnknown, "it is not known which worker loses memory"), nil
		}
		return losing(app, r.d.Memory), action.Refusal{}, nil
	case config.PickStuck:
		if app.StateErr != nil {
			return nil, action.Refuse(action.CodeStatesUnknown, "the state of the workers cannot be read: run the exporter as their user, or give it CAP_SYS_PTRACE"), nil
		}
		return stuck(app), action.Refusal{}, nil
	case config.PickLeaked:
		if r.d.Leaks == nil {
			return nil, action.Refuse(action.CodeLeaksUnknown, "it is not known which worker leaks: configure apps[].pools"), nil
		}
		leaks, err := r.d.Leaks(ctx, app.Name)
		if err != nil {
			return nil, action.Refusal{}, fmt.Errorf("find the worker that leaks: %w", err)
		}
		return leaking(app, leaks), action.Refusal{}, nil
	}
	return nil, action.Refuse(action.CodeSettingUnknown, "pick has an unknown value"), nil
}

// oldEnough returns the worst of the workers, or a refusal when it is too young: then its
// predecessor was recycled without effect. It is refused too unless another worker is idle, busy
// or in an unknown state, or only waits for somebody while the worst holds others up. It returns
// neither for an empty list.
func (r *Action) oldEnough(app *discovery.App, list []candidate, v Victims) (*candidate, action.Refusal, error) {
	if len(list) == 0 {
		return nil, action.Refusal{}, nil
	}
	slices.SortStableFunc(list, byValue)
	worst := list[0]
	if age := time.Since(worst.worker.Start); age < r.c.MinAge {
		return nil, action.Refuse(action.CodeTooYoung, "worker %d of %s is only %.0f s old, minimum %s: recycling it again does not help", worst.worker.Slot, app.Name, age.Seconds(), r.c.MinAge), nil
	}
	holds := v.HoldsUp(app.Name, strconv.Itoa(worst.worker.Slot), worst.worker.PID)
	for _, w := range app.Workers {
		serves := w.State == discovery.Idle || w.State == discovery.Busy || w.State == discovery.StateUnknown
		if w.PID != worst.worker.PID && (serves || holds && v.WhyWorker(app.Name, strconv.Itoa(w.Slot), w.PID) != "") {
			return &worst, action.Refusal{}, nil
		}
	}
	return nil, action.Refuse(action.CodeNoneServes, "no other worker is able to serve requests"), nil
}

// notReady returns why no worker of an app may be recycled now: it is down, not served by gunicorn
// or uWSGI, has fewer than min_workers, or its workers come and go; zero: none of that.
func (r *Action) notReady(app *discovery.App) action.Refusal {
	switch {
	case !app.Up:
		return action.Refuse(action.CodeAppDown, "no process of the app is found: it is down, or the exporter may not see it")
	case app.Server != cmdline.Gunicorn && app.Server != cmdline.UWSGI:
		return action.Refuse(action.CodeNoReplacement, "the app is served by %s: only gunicorn and uWSGI replace a worker that ends", app.Server)
	case len(app.Workers) < max(r.c.MinWorkers, minWorkers):
		return action.Refuse(action.CodeTooFewWorkers, "there are %d workers, minimum %d", len(app.Workers), max(r.c.MinWorkers, minWorkers))
	}
	return workers.CheckSteady(r.d.ProcRoot, app)
}

// largest returns each worker with its memory in bytes: its share of it, or its RSS unless
// the share of all is known.
func largest(app *discovery.App) []candidate {
	shared := !slices.ContainsFunc(app.Workers, func(w discovery.Worker) bool { return w.Taken.IsZero() || w.Memory.PSS == 0 })
	var out []candidate
	for _, w := range app.Workers {
		if shared {
			out = append(out, candidate{w, workers.Share(w), "pss"})
		} else {
			out = append(out, candidate{w, float64(w.RSS), "rss"})
		}
	}
	return out
}

// stuck returns the stuck workers, with how long they have been so in seconds.
func stuck(app *discovery.App) []candidate {
	var out []candidate
	for _, w := range app.Workers {
		if w.State == discovery.Stuck {
			out = append(out, candidate{w, w.For.Seconds(), "stuck"})
		}
	}
	return out
}

// losing returns the workers that are suspected of a leak, with the memory that they lose
// in bytes a second.
func losing(app *discovery.App, slope func(app string, slot, pid int) (float64, bool)) []candidate {
	var out []candidate
	for _, w := range app.Workers {
		if v, ok := slope(app.Name, w.Slot, w.PID); ok && v > 0 {
			out = append(out, candidate{w, v, "leaking"})
		}
	}
	return out
}

// leaking returns the workers with leaked connections, with their number. leaks is by slot.
func leaking(app *discovery.App, leaks map[int]int) []candidate {
	var out []candidate
	for _, w := range app.Workers {
		if n := leaks[w.Slot]; n > 0 {
			out = append(out, candidate{w, float64(n), "leaked"})
		}
	}
	return out
}
