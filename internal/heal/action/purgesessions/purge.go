// Package purgesessions is the action purge_sessions: it sets an expiry on sessions
// that have none, or removes them.
package purgesessions

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/keyspace"
	"github.com/resp-exporter/resp-exporter/internal/redis/sessions"
)

const (
	// countBudget is how long a count of sessions may take. The keys that it has not read
	// by then are assumed to be like the rest.
	countBudget = 10 * time.Second
	// defaultGrace is the expiry that is set when the settings have none.
	defaultGrace = time.Hour
)

// SessionStore is a Redis in which an app keeps sessions; [sessions.Store] is one.
type SessionStore interface {
	CountNoExpiry(ctx context.Context, q sessions.NoExpiryQuery) (sessions.NoExpiryCount, error)
	CleanUpNoExpiry(ctx context.Context, q sessions.NoExpiryQuery) (sessions.NoExpiryCount, error)
	Keyspace(ctx context.Context) (string, error)
}

// Deps are the dependencies of the action.
type Deps struct {
	Apps  func() []config.App            // of the present configuration
	Store func(name string) SessionStore // a server of the section redis; nil: there is none with that name
}

// Action is the action purge_sessions: it sets an expiry on sessions that have
// none, or removes them. It reads no session, and no key's name leaves the
// store's package: a plan has a count and no victims.
type Action struct {
	d Deps
	c config.Purge
}

// New returns the action with these settings.
func New(d Deps, c config.Purge) *Action { return &Action{d: d, c: c} }

// Target implements [action.Action]: "app:NAME/redis:NAME", with "?" for a name that
// neither the settings nor the alert have.
func (p *Action) Target(a action.Alert) string {
	return "app:" + action.TargetName(a, "app", p.c.App) + "/redis:" + action.TargetName(a, "redis", p.c.Redis)
}

// criteria select sessions.
type criteria struct {
	app   string
	redis string
	query sessions.NoExpiryQuery
}

// target returns the target of guards: app:NAME/redis:NAME.
func (r criteria) target() string { return "app:" + r.app + "/redis:" + r.redis }

// criteria returns which sessions the settings and an alert mean, or a refusal that says
// why that is not clear. Without the name of a redis it is the only one in which the app
// keeps sessions.
func (p *Action) criteria(a action.Alert) (r criteria, refused action.Refusal) {
	appName, refused := action.NameFrom(a, "app", p.c.App)
	if !refused.IsZero() {
		return r, refused
	}
	redisName, refused := action.NameFrom(a, "redis", p.c.Redis)
	if !refused.IsZero() {
		return r, refused
	}
	app, ok := action.FindApp(p.d.Apps(), appName)
	if !ok {
		return r, action.Refuse(action.CodeUnknownApp, "neither the rule nor the alert names an app of the configuration")
	}
	for _, s := range app.Sessions {
		if s.Redis == redisName || redisName == "" && len(app.Sessions) == 1 {
			r = p.criteriaOf(app.Name, s)
			return r, p.check(r)
		}
	}
	return r, action.Refuse(action.CodeUnknownRedis, "neither the rule nor the alert names a redis in which the app keeps sessions")
}

// criteriaOf returns which sessions of an app may be purged. Without a setting, the idle
// time is the lifetime of the sessions, and the grace is the default.
func (p *Action) criteriaOf(app string, s config.Sessions) criteria {
	q := sessions.NoExpiryQuery{Prefix: s.Prefix, MinIdle: p.c.MinIdle, MaxKeys: p.c.MaxKeys, Grace: p.c.Grace, Remove: p.c.Remove}
	if q.MinIdle == 0 {
		q.MinIdle = s.Lifetime
	}
	if q.Grace == 0 {
		q.Grace = defaultGrace
	}
	return criteria{app, s.Redis, q}
}

// check returns why nothing may be done with these criteria: max_keys or max_fraction is
// missing, or neither min_idle nor the sessions' lifetime is set; zero: something may.
func (p *Action) check(r criteria) action.Refusal {
	switch {
	case p.c.MaxKeys < 1 || !(p.c.MaxFraction > 0):
		return action.Refuse(action.CodeSettingMissing, "max_keys and max_fraction are required")
	case r.query.MinIdle == 0:
		return action.Refuse(action.CodeSettingMissing, "min_idle is not set, and neither is the sessions' lifetime")
	}
	return action.Refusal{}
}

// sharedPrefix returns why the owner of the sessions is not certain; zero if it is. Another
// app of the configuration has some in the same database, under a prefix that overlaps,
// or that cannot be excluded.
func (p *Action) sharedPrefix(ctx context.Context, r criteria) action.Refusal {
	for _, app := range p.d.Apps() {
		for _, s := range app.Sessions {
			if app.Name == r.app || !config.Overlap(s.Prefix, r.query.Prefix) {
				continue
			}
			same, err := keyspace.Same(ctx, r.redis, s.Redis, func(ctx context.Context, name string) (string, error) {
				if store := p.d.Store(name); store != nil {
					return store.Keyspace(ctx)
				}
				return "", keyspace.ErrNotConfigured
			})
			switch {
			case err != nil:
				return action.Refuse(action.CodeShareUnknown, "the sessions of app %s have an overlapping prefix, and it is not known if they are in the same database: %s", app.Name, err)
			case same:
				return action.Refuse(action.CodeSharedPrefix, "the sessions of app %s have an overlapping prefix in the same Redis database: the owner of a session is not certain", app.Name)
			}
		}
	}
	return action.Refusal{}
}

// Plan implements [action.Action]. It is cleared if no session matches, and refused if more
// than max_fraction do, another app may own the keys, the Redis refuses the scan, or a setting
// is missing. Its total is at most max_keys, its measure the estimate for all keys.
func (p *Action) Plan(ctx context.Context, req action.PlanRequest) (action.Plan, error) {
	out := action.Plan{Action: config.ActionPurge}
	rule, refused := p.criteria(req.Alert)
	if rule.app != "" {
		out.Target = rule.target()
	}
	if out.Refused = refused; !refused.IsZero() {
		return out, nil
	}
	if out.Refused = p.sharedPrefix(ctx, rule); !out.Refused.IsZero() {
		return out, nil
	}
	count, err := p.count(ctx, rule)
	if refusal, ok := errors.AsType[*sessions.Refusal](err); ok {
		out.Refused = action.Refuse(action.CodeRedisRefuses, "redis %s %s", rule.redis, refusal.Text)
		return out, nil
	}
	if err != nil {
		return out, err
	}
	p.describe(&out, rule, count)
	rule.query.Only = count.Server
	out.Scope = action.Digest(rule.app, rule.redis, fmt.Sprintf("%+v", rule.query))
	out.Private = rule
	return out, nil
}

// count returns how many sessions there are and match at this moment, in the part of the
// keys that a scan of at most countBudget reads. An error means that the Redis cannot be
// read, or is not in the configuration; a [sessions.Refusal] that it refuses the scan.
func (p *Action) count(ctx context.Context, r criteria) (sessions.NoExpiryCount, error) {
	store := p.d.Store(r.redis)
	if store == nil {
		return sessions.NoExpiryCount{}, fmt.Errorf("redis %s is not in the configuration", r.redis)
	}
	q := r.query
	q.Budget, q.Only = budget(ctx, countBudget), "" // counting is harmless
	count, err := store.CountNoExpiry(ctx, q)
	if err != nil {
		return count, fmt.Errorf("redis %s: %w", r.redis, err)
	}
	return count, nil
}

// budget returns how long a scan may last so that it ends before ctx does: three quarters
// of what is left, at most most unless that is 0, and at least a millisecond. If ctx has no
// end it is most.
func budget(ctx context.Context, most time.Duration) time.Duration {
	end, ok := ctx.Deadline()
	if !ok {
		return most
	}
	left := time.Until(end) * 3 / 4
	if most > 0 {
		left = min(left, most)
	}
	return max(left, time.Millisecond)
}

// estimate returns how many sessions match in all, from those in the part of the keys that
// was read; their number itself if that was all, or the part is not known.
func estimate(c sessions.NoExpiryCount) float64 {
	if c.Coverage <= 0 || c.Coverage >= 1 {
		return float64(c.Matching)
	}
	return math.Round(float64(c.Matching) / c.Coverage)
}

// describe sets the summary and the figures of a plan. The plan is refused if more than
// max_fraction of the sessions match.
func (p *Action) describe(out *action.Plan, r criteria, c sessions.NoExpiryCount) {
	out.Measure, out.Total, out.Cleared = estimate(c), min(c.Matching, p.c.MaxKeys), c.Matching == 0
	does := "set an expiry of " + r.query.Grace.String() + " to"
	if p.c.Remove {
		does = "remove"
	}
	out.Summary = fmt.Sprintf("%s %d of %d sessions of app %s in redis %s: %d have no expiry and have been idle for %s or longer",
		does, out.Total, c.Sessions, r.app, r.redis, c.Matching, r.query.MinIdle)
	if c.Coverage < 1 {
		out.Summary += fmt.Sprintf("; %.0f%% of the keys were read", 100*c.Coverage)
	}
	if c.Matching > 0 && float64(c.Matching) > p.c.MaxFraction*float64(c.Sessions)+1e-9 {
		out.Refused = action.Refuse(action.CodeOverFraction, "%d of %d sessions match, more than max_fraction: so many do not look like a leak", c.Matching, c.Sessions)
	}
}

// Apply implements [action.Action]. It returns how many sessions were changed, also with an
// error; at most as many as planned. It walks anew: a session that was planned and is used
// meanwhile is not touched, and one that was not seen before may be.
func (p *Action) Apply(ctx context.Context, plan action.Plan) (done int, err error) {
	rule, ok := plan.Private.(criteria)
	if !ok || !plan.Refused.IsZero() {
		return 0, action.ErrNotPlanned
	}
	if plan.Total < 1 {
		return 0, nil
	}
	if refused := p.sharedPrefix(ctx, rule); !refused.IsZero() {
		return 0, refused
	}
	store := p.d.Store(rule.redis)
	if store == nil {
		return 0, fmt.Errorf("redis %s is not in the configuration", rule.redis)
	}
	q := rule.query
	q.MaxKeys, q.Budget = min(p.c.MaxKeys, plan.Total), budget(ctx, 0)
	count, err := store.CleanUpNoExpiry(ctx, q)
	if err != nil {
		return count.Changed, fmt.Errorf("redis %s: %w", rule.redis, err)
	}
	return count.Changed, nil
}

// Verify implements [action.Action]: Verified if no session matches any more in the part of the
// keys that is read, or the estimate has fallen by half of the planned; else, and with an error,
// Unchanged. It counts anew what the private part of the plan says, and without one the settings;
// it also needs its target, its total and its measure.
func (p *Action) Verify(ctx context.Context, plan action.Plan) (action.Outcome, error) {
	rule, ok := p.plannedCriteria(plan)
	if !ok {
		return action.Unchanged, errors.New("the sessions are no longer in the configuration")
	}
	count, err := p.count(ctx, rule)
	if err != nil {
		return action.Unchanged, err
	}
	// A few may have become old enough since, or were used.
	if now := estimate(count); now == 0 || now <= plan.Measure-float64(plan.Total)/2 {
		return action.Verified, nil
	}
	return action.Unchanged, nil
}

// plannedCriteria returns the criteria of a plan; for one from the journal those of its
// target. false: the target is no longer in the configuration.
func (p *Action) plannedCriteria(plan action.Plan) (criteria, bool) {
	if rule, ok := plan.Private.(criteria); ok {
		return rule, true
	}
	for _, app := range p.d.Apps() {
		for _, s := range app.Sessions {
			if r := p.criteriaOf(app.Name, s); r.target() == plan.Target {
				return r, true
			}
		}
	}
	return criteria{}, false
}
