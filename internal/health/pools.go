package health

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health/levels"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// Part is a pool, a session store or a task queue that the configuration names.
type Part struct {
	App       string
	Component string // "pool", "sessions" or "tasks"
	Name      string // of the pool, the session store or the queue
	Store     string // where it lives: "mysql:main", "redis:cache"
}

// partNames returns the names of an app's parts of one component, configured and
// found, sorted and without duplicates.
func (e *evaluator) partNames(app, component string, found []string) []string {
	out := slices.Clone(found)
	for _, p := range e.Parts {
		if p.App == app && p.Component == component {
			out = append(out, p.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// unread adds a warning for a configured part that could not be read. The warning
// is inhibited where its store does not answer.
func (e *evaluator) unread(app, component, collector, name, what string) {
	i := slices.IndexFunc(e.Parts, func(p Part) bool { return p.App == app && p.Component == component && p.Name == name })
	why := e.lack(collector)
	if i < 0 || why == "" { // it is not configured, or its collector is off
		return
	}
	r := rule{Subject: Subject{app, component, name}, component: component, level: Warning, release: Warning, summary: what + " cannot be read: " + why}
	if kind, store, ok := strings.Cut(e.Parts[i].Store, ":"); ok {
		r.inhibited = e.isDown(kind, store)
	}
	e.add(r)
}

// pool is one pool of an app.
type pool struct{ *model.Pool }

// poolOf returns a pool of an app; nil if it was not read.
func (e *evaluator) poolOf(app, name string) *pool {
	i := slices.IndexFunc(e.State.Pools, func(p model.Pool) bool { return p.App == app && p.Name == name })
	if i < 0 {
		return nil
	}
	return &pool{&e.State.Pools[i]}
}

// taken returns the number of connections that are not idle.
func (p *pool) taken() float64 { return p.InUse + p.InTransaction + p.Leaked }

// evaluatePools evaluates the utilization and the leaks of each pool of an app.
func (e *evaluator) evaluatePools(w *appWorkers) {
	var found []string
	for i := range e.State.Pools {
		if p := &e.State.Pools[i]; p.App == w.app {
			found = append(found, p.Name)
		}
	}
	for _, name := range e.partNames(w.app, "pool", found) {
		p := e.poolOf(w.app, name)
		if p == nil {
			e.unread(w.app, "pool", "pool", name, "pool "+name+" of "+w.app)
			continue
		}
		advice := e.withChain(w.app, name, p.advice(w))
		leaks := rule{Subject: Subject{w.app, "pool_leak", name}, component: "pool", advice: advice}
		if p.Leaked > 0 {
			leaks.level, leaks.release = Warning, Warning
			leaks.summary = plural(p.Leaked, "connection") + " of pool " + name + " of " + w.app + " " + isAre(p.Leaked) + " leaked" + p.asleep()
		}
		e.add(leaks)
		if p.Utilization == nil {
			continue
		}
		r := rule{Subject: Subject{w.app, "pool", name}, component: "pool", advice: advice}
		r.level, r.release = levels.Rises(*p.Utilization, e.limits(w.app).ConnectionPool)
		r.summary = fmt.Sprintf("pool %s of %s is at %s", name, w.app, p.use())
		e.add(r)
	}
}

// use returns the utilization in words, e.g. "87 % (13 of 15)".
func (p *pool) use() string {
	if p.Capacity == nil {
		return FormatPercent(*p.Utilization)
	}
	return fmt.Sprintf("%s (%s of %s)", FormatPercent(*p.Utilization), FormatCount(p.taken()), FormatCount(*p.Capacity))
}

func (p *pool) asleep() string {
	if len(p.Leaks) == 0 {
		return ""
	}
	return ": idle in a transaction for up to " + FormatSeconds(p.Leaks[0].Seconds)
}

// advice returns advice about the connections that use the pool up.
func (p *pool) advice(w *appWorkers) adviser {
	if p.Utilization == nil && p.Leaked == 0 {
		return nil
	}
	line := "Pool " + p.Name + " of " + p.App
	if p.Utilization != nil {
		line += " is at " + p.use()
	} else {
		line += " has " + plural(p.taken(), "connection") + " in use"
	}
	if p.Leaked == 0 {
		line += fmt.Sprintf(": %s %s, %s %s in a transaction", plural(p.InUse, "connection"), runs(p.InUse), FormatCount(p.InTransaction), sleeps(p.InTransaction))
		return symptoms(line + ". Make the transactions shorter, or raise size and max_overflow if the server allows more connections.")
	}
	line += fmt.Sprintf(": %s %s in a transaction%s", plural(p.Leaked, "connection"), sleeps(p.Leaked), p.longestLeak())
	slot, n := p.culprit()
	switch {
	case len(p.Leaks) == 0:
		return p.leaking(line + ": the exporter's log names them.")
	case slot == "" || n == 0:
		return p.leaking(line + ". End them: " + p.kill() + ".")
	case n == int(p.Leaked):
		line += ", opened by "
	default:
		line += fmt.Sprintf(", %d of them opened by ", n)
	}
	return p.leaking(line + w.named(slot) + ". End them: " + p.kill() + ", or recycle that worker.")
}

// leaking returns an adviser about leaked connections. A single leak has the cause
// of its connection, as advice about a lock that it holds has.
func (p *pool) leaking(line string) adviser {
	cause := "pool:" + p.App + "/" + p.Name
	if len(p.Leaks) == 1 && p.Leaked == 1 {
		cause = connectionCause(p.Leaks[0].Server, p.Leaks[0].Connection)
	}
	return func(time.Duration) []advice { return []advice{{rankCause, cause, line}} }
}

func (p *pool) longestLeak() string {
	if len(p.Leaks) == 0 {
		return ""
	}
	return ", the longest for " + FormatSeconds(p.Leaks[0].Seconds)
}

// culprit returns the worker that has most of the leaks, and how many.
func (p *pool) culprit() (slot string, n int) {
	for i := range p.Workers {
		w := &p.Workers[i]
		if m := int(w.Leaked); m > n || m == n && m > 0 && w.Slot < slot {
			slot, n = w.Slot, m
		}
	}
	return slot, n
}

// kill returns the statement that ends the longest leak, and how many more there
// are.
func (p *pool) kill() string {
	line := fmt.Sprintf("KILL %d", p.Leaks[0].Connection)
	if n := int(p.Leaked) - 1; n > 0 {
		line += fmt.Sprintf(" and %d more", n)
	}
	return line + " on MySQL " + p.Leaks[0].Server
}

func runs(n float64) string {
	if n == 1 {
		return "runs a statement"
	}
	return "run a statement"
}

func sleeps(n float64) string {
	if n == 1 {
		return "sleeps"
	}
	return "sleep"
}
