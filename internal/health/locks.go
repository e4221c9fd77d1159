package health

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// blocker is a connection that others wait for, on one server, and that waits
// for no lock itself.
type blocker struct {
	server, id, app, slot, pid, state, user, host string

	waiting map[string]bool // the connections that wait
	longest float64         // seconds that one of them has waited
	idle    float64         // seconds that it has done what it does
	victims []victim        // the workers among those that wait, each once
}

// victim is a worker that waits for a blocker.
type victim struct{ app, slot string }

// blocker returns the connection at the end of the chain that most others wait
// for; nil if none is known. The readings are page.lock_wait: server, the waiter's
// connection, app and worker, the blocker's connection, app, worker, pid, state,
// user and host.
func (c *court) blocker(server string) *blocker {
	b, known := c.blockers[server]
	if !known {
		b = c.findBlocker(server)
		c.blockers[server] = b
	}
	return b
}

func (c *court) findBlocker(server string) *blocker {
	waits := slices.Clone(c.State.With("page.lock_wait", server))
	waits = slices.DeleteFunc(waits, func(x model.Reading) bool { return label(x, 4) == "" }) // who has the lock of a table is not always told
	holds := make(map[string]model.Reading)                                                   // by the waiter's connection
	for _, x := range waits {
		if _, ok := holds[label(x, 1)]; !ok {
			holds[label(x, 1)] = x
		}
	}
	by := make(map[string]*blocker)
	var most *blocker
	for _, x := range waits {
		root := x
		for range waits {
			next, waiting := holds[label(root, 4)]
			if !waiting {
				break
			}
			root = next
		}
		b := by[label(root, 4)]
		if b == nil {
			b = &blocker{server: server, id: label(root, 4), app: label(root, 5), slot: label(root, 6), pid: label(root, 7), state: label(root, 8), user: label(root, 9), host: label(root, 10)}
			by[b.id] = b
		}
		b.add(x)
		if most == nil || len(b.waiting) > len(most.waiting) {
			most = b
		}
	}
	return most
}

// add counts one that waits, directly or behind another.
func (b *blocker) add(x model.Reading) {
	if b.waiting == nil {
		b.waiting = make(map[string]bool)
	}
	b.waiting[label(x, 1)] = true
	b.longest = max(b.longest, x.Value)
	if v := (victim{label(x, 2), label(x, 3)}); v.slot != "" && !slices.Contains(b.victims, v) {
		b.victims = append(b.victims, v)
	}
}

// holdsUp reports whether a worker waits for b.
func (b *blocker) holdsUp(app, slot string) bool {
	return b != nil && slices.Contains(b.victims, victim{app, slot})
}

// blockedBy is the end of a sentence about a statement that may only wait.
func (c *court) blockedBy(server string) string {
	b := c.blocker(server)
	if b == nil {
		return ""
	}
	return fmt.Sprintf("; connection %s%s blocks %d", b.id, b.owner(), len(b.waiting))
}

// owner is whose connection it is, where that is known.
func (b *blocker) owner() string { return ownerOf(b.app, b.slot, b.pid, b.user, b.host) }

// ownerOf returns the worker that has a connection, else the user and the host
// that the server knows, to follow the connection's number.
func ownerOf(app, slot, pid, user, host string) string {
	switch {
	case slot != "" && pid != "":
		return " of worker " + slot + " (pid " + pid + ") of " + app
	case slot != "":
		return " of worker " + slot + " of " + app
	case user != "" && host != "":
		return " of user " + user + " from " + host
	case user != "":
		return " of user " + user
	}
	return ""
}

// cause is what the advice about b is about.
func (b *blocker) cause() string { return "mysql:" + b.server + "/connection:" + b.id }

// advice says who holds the lock, what it waits for itself, and who is not to be
// ended for it.
func (b *blocker) advice(c *court) advice {
	does := ""
	if b.state != "" {
		does = ", " + b.state + ","
	}
	line := fmt.Sprintf("Connection %s%s on MySQL %s%s holds a lock that %s for, the longest for %s", b.id, b.owner(), b.server, does, waitFor(len(b.waiting)), FormatSeconds(b.longest))
	if own := c.waitOf(b.app, b.slot); own != nil && own.on != "mysql" {
		line += "; its worker " + own.does()
	}
	line += ": KILL " + b.id + " ends it, if it may not finish"
	return advice{rankRoot, b.cause(), line + "." + b.spare()}
}

// spare names the workers that only wait, and are not to be ended; "" if none is known.
func (b *blocker) spare() string {
	if len(b.victims) == 0 {
		return ""
	}
	return " Do not end " + named(b.victims) + ": " + either(len(b.victims) == 1, "it waits", "they wait") + " for it."
}

// named lists workers, at most 8, with their app where it changes.
func named(victims []victim) string {
	const upTo = 8
	sorted := slices.Clone(victims)
	slices.SortFunc(sorted, func(x, y victim) int {
		if n := strings.Compare(x.app, y.app); n != 0 {
			return n
		}
		return CompareSlots(x.slot, y.slot)
	})
	var out []string
	for i, v := range sorted {
		if i == upTo {
			out = append(out, fmt.Sprintf("%d more", len(sorted)-upTo))
			break
		}
		text := "worker " + v.slot
		if i > 0 && sorted[i-1].app == v.app {
			text = v.slot
		} else if i+1 < len(sorted) && sorted[i+1].app == v.app {
			text = "workers " + v.slot
		}
		if i+1 == len(sorted) || sorted[i+1].app != v.app {
			text += " of " + v.app
		}
		out = append(out, text)
	}
	return enumerate(out)
}

// adviseQuery names the connection that most others wait for, if any do, else
// the one whose statement runs longest.
func (c *court) adviseQuery(name string, seconds float64) adviser {
	if b := c.blocker(name); b != nil {
		a := b.advice(c)
		return atRoot(a.cause, a.line)
	}
	if b := c.tableLock(name); b != nil {
		a := b.tableAdvice()
		return atRoot(a.cause, a.line)
	}
	if all := c.queries(name); len(all) > 0 {
		a := queryAdvice(all[:1])
		return func(time.Duration) []advice { return []advice{a} }
	}
	return says(fmt.Sprintf("A statement on MySQL %s runs for %s: SHOW FULL PROCESSLIST names it, KILL QUERY ends it.", name, FormatSeconds(seconds)))
}

func waitFor(n int) string {
	if n == 1 {
		return "1 other waits"
	}
	return fmt.Sprintf("%d others wait", n)
}

// query is a statement that runs on a MySQL server.
type query struct {
	server, id, user, host, app, slot, pid, kind string
	seconds                                      float64
}

// queries returns the statements that run longest on a server, the longest
// first. The readings are page.mysql_query: server, connection, user, host, app,
// worker, pid and keyword.
func (c *court) queries(server string) []query {
	var out []query
	for _, x := range c.State.With("page.mysql_query", server) {
		out = append(out, query{server, label(x, 1), label(x, 2), label(x, 3), label(x, 4), label(x, 5), label(x, 6), label(x, 7), x.Value})
	}
	slices.SortStableFunc(out, func(a, b query) int { return cmp.Compare(b.seconds, a.seconds) })
	return out
}

// queryOf returns the statement that a worker runs; nil: none is known.
func (c *court) queryOf(server, app, slot string) *query {
	all := c.queries(server)
	i := slices.IndexFunc(all, func(q query) bool { return q.app == app && q.slot == slot && slot != "" })
	if i < 0 {
		return nil
	}
	return &all[i]
}

// CompareSlots orders the slots of workers: 2 before 10.
func CompareSlots(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}
