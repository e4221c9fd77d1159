// Package throttle is the action throttle: it asks an app to shed a share of its requests
// while a component of it is unhealthy. What it asks ends by itself.
package throttle

import (
	"context"
	"fmt"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/followers"
)

const (
	// tolerance is how far the share that was shed may be below the one that is asked.
	tolerance = 0.05
	// fewRequests are too few for a share: the acknowledgment of the workers counts then.
	fewRequests = 40
	// enoughOfTarget is the time in the queue in hundredths of the target with which it is
	// reached.
	enoughOfTarget = 150
)

// Deps are the dependencies of the action.
type Deps struct {
	Followers followers.Finder
	Holder    *Holder
	// Condition reports whether a component of an app is unhealthy. An error means that it is
	// not known.
	Condition func(app, component string) (bool, error)
}

// Action is the action throttle.
type Action struct {
	d Deps
	c config.Throttle
}

// New returns the action with these settings.
func New(d Deps, c config.Throttle) *Action { return &Action{d: d, c: c} }

// Target implements [action.Action]: "app:NAME/throttle", with "?" for the name if neither
// the settings nor the alert have one.
func (r *Action) Target(a action.Alert) string {
	return "app:" + action.TargetName(a, "app", r.c.App) + "/throttle"
}

// prepared is the private part of a plan.
type prepared struct {
	app               string
	rule, fingerprint string
	before            map[string]counters // by the identity of a worker, from when it was applied
	began             *hold               // nil: not applied
}

// counters are those of a worker.
type counters struct{ offered, shed uint64 }

// Plan implements [action.Action]. It is cleared if the condition of the throttle does not
// hold, and refused for what [action.NameFrom], [followers.Finder.Find] and cannot refuse,
// such as an app that sheds requests already, or did so for max_time without effect.
func (r *Action) Plan(ctx context.Context, req action.PlanRequest) (action.Plan, error) {
	p := action.Plan{Action: config.ActionThrottle, Target: "app:?/throttle"}
	name, refused := action.NameFrom(req.Alert, "app", r.c.App)
	if !refused.IsZero() {
		p.Refused = refused
		return p, nil
	}
	list, refused, err := r.d.Followers.Find(ctx, name)
	if err != nil {
		return action.Plan{}, err
	}
	if refused.IsZero() {
		refused = r.cannot(name, list)
	}
	if p.Refused = refused; !refused.IsZero() {
		return p, nil
	}
	p.Target, p.Total = "app:"+name+"/throttle", len(list)
	holds, err := r.holds(name)
	if err != nil {
		return action.Plan{}, err
	}
	if p.Cleared = !holds; p.Cleared {
		return p, nil
	}
	p.Summary = r.summary(name, list)
	p.Measure = r.sharesOf().first()
	p.Victims = followers.Victims(list[:min(len(list), action.MaxVictims)], map[string]string{"app": name})
	p.Private = &prepared{app: name, rule: req.Rule, fingerprint: req.Alert.Fingerprint}
	return p, nil
}

// summary returns a sentence that describes the plan.
func (r *Action) summary(name string, list []followers.Follower) string {
	end := fmt.Sprintf("while its component %s is unhealthy, for %s at most", r.c.Component, r.c.MaxTime)
	if r.c.Component == "" {
		end = fmt.Sprintf("while that is needed, for %s at most", r.c.MaxTime)
	}
	if r.c.Target > 0 {
		return fmt.Sprintf("let the %d workers of %s shed as many requests as keep the time in the queue at %s, %s", len(list), name, r.c.Target, end)
	}
	return fmt.Sprintf("let the %d workers of %s shed %s of the requests, %s", len(list), name, r.sharesOf(), end)
}

// cannot returns why the workers cannot be throttled: they are, they were for max_time and the
// component has not been healthy since, or there is a target and none of them knows how long
// its requests wait; zero: they can.
func (r *Action) cannot(name string, list []followers.Follower) action.Refusal {
	if r.d.Holder.Holds(name) {
		return action.Refuse(action.CodeThrottled, "%s sheds requests already", name)
	}
	if r.d.Holder.isSpent(name) {
		return action.Refuse(action.CodeThrottleSpent, "%s shed requests for max_time, and its component has not been healthy since: a person must act", name)
	}
	if r.c.Target == 0 {
		return action.Refusal{}
	}
	for i := range list {
		if list[i].Control.QueueTime {
			return action.Refusal{}
		}
	}
	return action.Refuse(action.CodeNoQueueTime, "the requests of %s do not say how long they waited: set X-Request-Start in the proxy, and request_start=True in the app", name)
}

// Apply implements [action.Action]. It begins the throttle, which [Holder.Run] continues, and
// returns the number of workers as planned; 0 and a refusal if the control file cannot be
// written.
func (r *Action) Apply(ctx context.Context, p action.Plan) (int, error) {
	x, ok := p.Private.(*prepared)
	if !ok {
		return 0, action.ErrNotPlanned
	}
	list, err := r.d.Followers.Now(ctx, x.app)
	if err != nil {
		return 0, err
	}
	x.before = make(map[string]counters, len(list))
	for i := range list {
		x.before[list[i].Identity()] = countersOf(&list[i])
	}
	condition := func() (bool, error) { return r.holds(x.app) }
	began := &hold{app: x.app, rule: x.rule, fingerprint: x.fingerprint, c: r.c, shares: r.sharesOf(), condition: condition}
	if err := r.d.Holder.begin(began, time.Now()); err != nil {
		return 0, action.Refuse(action.CodeNoControl, "the control file of %s cannot be written: %s", x.app, err)
	}
	x.began = began
	return p.Total, nil
}

// countersOf returns the requests that a worker was offered and has shed since it began to
// report.
func countersOf(f *followers.Follower) counters {
	return counters{f.Counters.Offered, f.Counters.Shed}
}

// Verify implements [action.Action]: Verified if enough workers throttle, and the share that all of
// them shed is at least the first percentage, less a tolerance, or too few requests came to know
// it; with a target, if they shed any, or the queue is near it or unknown. After a crash nothing is
// throttled any more: Unchanged. A throttle that has ended helped only if its component is healthy.
func (r *Action) Verify(ctx context.Context, p action.Plan) (action.Outcome, error) {
	x, ok := p.Private.(*prepared)
	if !ok || x.began == nil {
		return action.Unchanged, nil
	}
	switch r.d.Holder.endOf(x.began) {
	case endHealthy:
		return action.Verified, nil
	case "":
	default:
		return action.Unchanged, nil
	}
	m, err := r.measure(ctx, x)
	switch {
	case err != nil:
		return "", err
	case !followers.AreEnough(m.throttled, m.all):
		return action.Unchanged, nil
	case r.c.Target > 0:
		if q := r.queueOf(x.app); q.isKnown() && !q.sheds && q.waited > r.c.Target*enoughOfTarget/100 {
			return action.Unchanged, nil
		}
		return action.Verified, nil
	case m.offered < fewRequests:
		return action.Verified, nil
	case m.share() < p.Measure-tolerance:
		return action.Unchanged, nil
	}
	return action.Verified, nil
}

// measured is what the workers of an app do since a plan was applied.
type measured struct {
	all, throttled int // workers
	counters
}

// share returns the share of the offered requests that were shed, from 0 to 1; 0 without
// requests.
func (m measured) share() float64 { return float64(m.shed) / float64(max(m.offered, 1)) }

// measure returns how many workers of the app report themselves, how many of them throttle,
// and the requests that were offered and shed since the plan was applied; of a new worker
// all.
func (r *Action) measure(ctx context.Context, x *prepared) (m measured, err error) {
	list, err := r.d.Followers.Now(ctx, x.app)
	if err != nil {
		return m, err
	}
	for i := range list {
		f := &list[i]
		m.all++
		if f.Control.Throttled {
			m.throttled++
		}
		was, now := x.before[f.Identity()], countersOf(f) // of a new worker: all
		m.offered += now.offered - min(was.offered, now.offered)
		m.shed += now.shed - min(was.shed, now.shed)
	}
	return m, nil
}

// Report implements [action.Reporter]: how many workers shed how many requests, and how long
// the last ones waited, if that is known; "" if another process has made the plan, or the
// workers cannot be read.
func (r *Action) Report(ctx context.Context, p action.Plan) string {
	x, ok := p.Private.(*prepared)
	if !ok {
		return ""
	}
	m, err := r.measure(ctx, x)
	if err != nil {
		return ""
	}
	text := fmt.Sprintf("%d of %d workers shed %d of %d requests so far", m.throttled, m.all, m.shed, m.offered)
	if q := r.queueOf(x.app); q.isKnown() {
		text += fmt.Sprintf("; the last ones waited %.2f s on average", q.waited.Seconds())
	}
	return text
}

// Revert implements [action.Reverter].
func (r *Action) Revert(_ context.Context, p action.Plan) {
	if x, ok := p.Private.(*prepared); ok && x.began != nil {
		r.d.Holder.end(x.began, endFailed)
	}
}
