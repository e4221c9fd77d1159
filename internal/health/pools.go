package health

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health/levels"
	"github.com/resp-exporter/resp-exporter/internal/health/words"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// Part is a pool, a session store or a task queue that the configuration names.
type Part struct {
	App       string
	Component string // "pool", "sessions" or "tasks"
	Name      string // of the pool, the session store or the queue
	Store     string // where it lives: "mysql:main", "redis:cache"
}

// partNames returns the names of an app's parts of one component, those of the
// configuration and those in found, sorted and without duplicates.
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

// unread adds a warning that a configured part could not be read, unless its collector is
// off. The warning is inhibited if the part's store does not answer.
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

// evaluatePools adds the rules about the use and the leaks of each pool of an app.
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
		r.summary = fmt.Sprintf("pool %s of %s is at %s", name, w.app, words.PoolUse(p.Pool))
		e.add(r)
	}
}

// asleep returns the end of a sentence: how long its worst leak or, if its app reports the pool, checkout lasts; or "".
func (p *pool) asleep() string {
	if p.Source == model.PoolInside {
		return words.CheckedOut(p.Pool)
	}
	if len(p.Leaks) == 0 {
		return ""
	}
	return ": idle in a transaction for up to " + FormatSeconds(p.Leaks[0].Seconds)
}

// advice returns advice about the connections that use a pool up; nil if nothing is known
// of its use and none leaked.
func (p *pool) advice(w *appWorkers) adviser {
	if p.Utilization == nil && p.Leaked == 0 {
		return nil
	}
	line := "Pool " + p.Name + " of " + p.App
	if p.Utilization != nil {
		line += " is at " + words.PoolUse(p.Pool)
	} else {
		line += " has " + plural(words.Taken(p.Pool), "connection") + " in use"
	}
	if p.Leaked == 0 {
		line += fmt.Sprintf(": %s %s, %s %s in a transaction", plural(p.InUse, "connection"), words.Runs(p.InUse), FormatCount(p.InTransaction), words.Sleeps(p.InTransaction))
		return symptoms(line + ". Make the transactions shorter, or raise size and max_overflow if the server allows more connections.")
	}
	if p.Source == model.PoolInside {
		line += ": " + words.NotReturned(p.Pool)
		if len(p.Leaks) > 0 {
			line += " Until then: " + p.kill() + "."
		}
		return p.leaking(line)
	}
	line += fmt.Sprintf(": %s %s in a transaction%s", plural(p.Leaked, "connection"), words.Sleeps(p.Leaked), p.longestLeak())
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

// leaking returns an adviser with a line about leaked connections. A single leak has the
// cause of its connection, so that advice about a lock that it holds is not given twice.
func (p *pool) leaking(line string) adviser {
	cause := "pool:" + p.App + "/" + p.Name
	if len(p.Leaks) == 1 && p.Leaked == 1 {
		cause = connectionCause(p.Leaks[0].Server, p.Leaks[0].Connection)
	}
	return func(time.Duration) []advice { return []advice{{rankCause, cause, line}} }
}

// longestLeak returns for how long its longest leak lasts; "" without leaks.
func (p *pool) longestLeak() string {
	if len(p.Leaks) == 0 {
		return ""
	}
	return ", the longest for " + FormatSeconds(p.Leaks[0].Seconds)
}

// culprit returns the slot of the worker that has most of the leaked connections, and how
// many; "" and 0 if none has any.
func (p *pool) culprit() (slot string, n int) {
	for i := range p.Workers {
		w := &p.Workers[i]
		if m := int(w.Leaked); m > n || m == n && m > 0 && w.Slot < slot {
			slot, n = w.Slot, m
		}
	}
	return slot, n
}

// kill returns the statement that ends the longest leak, e.g. "KILL 812 and 3 more on
// MySQL main". There must be one.
func (p *pool) kill() string {
	line, n := fmt.Sprintf("KILL %d", p.Leaks[0].Connection), int(p.Leaked)
	if p.Source == model.PoolInside { // what the app misses, the server may not show
		n = len(p.Leaks)
	}
	if n--; n > 0 {
		line += fmt.Sprintf(" and %d more", n)
	}
	return line + " on MySQL " + p.Leaks[0].Server
}
