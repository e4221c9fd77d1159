package health

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Part is something of an app that the configuration names: one of its pools,
// kinds of sessions or queues of tasks.
type Part struct {
	App       string
	Component string // "pool", "sessions" or "tasks"
	Name      string // of the pool, the store or the queue: the second label of its metrics
	Store     string // where it lives: "mysql:main", "redis:cache"
}

// partNames lists the parts of one component of an app, those of the
// configuration and those that the readings of metric name.
func (c *court) partNames(app, component, metric string) []string {
	var out []string
	for _, p := range c.Parts {
		if p.App == app && p.Component == component {
			out = append(out, p.Name)
		}
	}
	for _, x := range c.State.With(metric, app) {
		out = append(out, label(x, 1))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// unread adds a warning for a part that the configuration names and that gave
// nothing. Where its store does not answer, that is told already.
func (c *court) unread(app, component, collector, name, what string) {
	i := slices.IndexFunc(c.Parts, func(p Part) bool { return p.App == app && p.Component == component && p.Name == name })
	why := c.lack(collector)
	if i < 0 || why == "" { // it was found by itself, or its collector is off
		return
	}
	r := rule{key: key{app, component, name}, component: component, level: Warning, calm: Warning, summary: what + " cannot be read: " + why}
	if up := number(c.State, "resp_up", c.Parts[i].Store); up != nil && *up == 0 {
		r.told = true
	}
	c.add(r)
}

// pool is one pool as the readings have it.
type pool struct {
	app, name                    string
	inUse, inTransaction, leaked float64
	capacity, utilization        *float64 // connections; ratio
	leaks                        []leak   // the longest asleep first; the collector names a few only
	culprit                      string   // the slot of the worker that has most of them; "": not known
	culprits                     int      // how many those are
}

// leak is one leaked connection.
type leak struct {
	store, slot, pid, id string
	asleep               float64 // seconds
}

func (c *court) poolOf(app, name string) *pool {
	p := &pool{app: app, name: name, capacity: number(c.State, "resp_pool_capacity", app, name), utilization: number(c.State, "resp_pool_utilization_ratio", app, name)}
	states := c.State.With("resp_pool_connections", app, name)
	if len(states) == 0 {
		return nil
	}
	for _, x := range states {
		switch label(x, 2) {
		case "in_use":
			p.inUse = x.Value
		case "in_transaction":
			p.inTransaction = x.Value
		case "leaked":
			p.leaked = x.Value
		}
	}
	for _, x := range c.State.With("page.pool_leak", app, name) {
		p.leaks = append(p.leaks, leak{label(x, 2), label(x, 3), label(x, 4), label(x, 5), x.Value})
	}
	p.culprit, p.culprits = c.culprit(app, name)
	slices.SortStableFunc(p.leaks, func(a, b leak) int { return cmp.Compare(b.asleep, a.asleep) })
	return p
}

// taken counts the connections that nobody else can have now.
func (p *pool) taken() float64 { return p.inUse + p.inTransaction + p.leaked }

// judgePools judges each pool: how much of it is taken, and whether some of
// that is taken for nothing.
func (c *court) judgePools(w *crew) {
	for _, name := range c.partNames(w.app, "pool", "resp_pool_connections") {
		p := c.poolOf(w.app, name)
		if p == nil {
			c.unread(w.app, "pool", "pool", name, "pool "+name+" of "+w.app)
			continue
		}
		advice := p.advice(w)
		leaks := rule{key: key{w.app, "pool_leak", name}, component: "pool", advice: advice}
		if p.leaked > 0 {
			leaks.level, leaks.calm = Warning, Warning
			leaks.summary = plural(p.leaked, "connection") + " of pool " + name + " of " + w.app + " " + isAre(p.leaked) + " leaked" + p.asleep()
		}
		c.add(leaks)
		if p.utilization == nil {
			continue
		}
		r := rule{key: key{w.app, "pool", name}, component: "pool", advice: advice}
		r.level, r.calm = rises(*p.utilization, c.Limits.ConnectionPool)
		r.summary = fmt.Sprintf("pool %s of %s is at %s", name, w.app, p.use())
		c.add(r)
	}
}

// use is how much of the pool is taken, in words.
func (p *pool) use() string {
	if p.capacity == nil {
		return FormatPercent(*p.utilization)
	}
	return fmt.Sprintf("%s (%s of %s)", FormatPercent(*p.utilization), FormatCount(p.taken()), FormatCount(*p.capacity))
}

func (p *pool) asleep() string {
	if len(p.leaks) == 0 {
		return ""
	}
	return ": asleep in a transaction for up to " + FormatSeconds(p.leaks[0].asleep)
}

// advice names the connections that hold the pool, and whose they are.
func (p *pool) advice(w *crew) adviser {
	if p.utilization == nil && p.leaked == 0 {
		return nil
	}
	line := "Pool " + p.name + " of " + p.app
	if p.utilization != nil {
		line += " is at " + p.use()
	} else {
		line += " has " + FormatCount(p.taken()) + " connections in use"
	}
	if p.leaked == 0 {
		line += fmt.Sprintf(": %s %s, %s %s in a transaction", plural(p.inUse, "connection"), runs(p.inUse), FormatCount(p.inTransaction), sleeps(p.inTransaction))
		return says(line + ". Make what they do shorter, or raise its size and max_overflow if the server has room.")
	}
	line += fmt.Sprintf(": %s %s in a transaction%s", plural(p.leaked, "connection"), sleeps(p.leaked), p.longestLeak())
	switch slot, n := p.culprit, p.culprits; {
	case len(p.leaks) == 0:
		return p.leaking(line + ": see the exporter's log for which they are.")
	case slot == "" || n == 0:
		return p.leaking(line + ". End them: " + p.kill() + ".")
	case n == int(p.leaked):
		line += ", opened by "
	default:
		line += fmt.Sprintf(", %d of them opened by ", n)
	}
	return p.leaking(line + w.named(p.culprit) + ". End them: " + p.kill() + "; or recycle that worker.")
}

// leaking returns an adviser about leaked connections. What is said of the one
// that also holds up others is about the same cause.
func (p *pool) leaking(line string) adviser {
	cause := "pool:" + p.app + "/" + p.name
	if len(p.leaks) == 1 && p.leaked == 1 {
		cause = "mysql:" + p.leaks[0].store + "/connection:" + p.leaks[0].id
	}
	return func(time.Duration) []advice { return []advice{{rankCause, cause, line}} }
}

func (p *pool) longestLeak() string {
	if len(p.leaks) == 0 {
		return ""
	}
	return ", the longest for " + FormatSeconds(p.leaks[0].asleep)
}

// culprit is the worker that has most of the leaks.
func (c *court) culprit(app, pool string) (slot string, n int) {
	for _, x := range c.State.With("page.pool_worker", app, pool) {
		if m := int(x.Value); label(x, 3) == "leaked" && (m > n || m == n && label(x, 2) < slot) {
			slot, n = label(x, 2), m
		}
	}
	return slot, n
}

// kill says how to end the leaks by hand.
func (p *pool) kill() string {
	line := "KILL " + p.leaks[0].id
	if n := int(p.leaked) - 1; n > 0 {
		line += fmt.Sprintf(" and %d more", n)
	}
	return line + " on MySQL " + p.leaks[0].store
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
