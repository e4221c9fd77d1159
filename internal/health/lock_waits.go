package health

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/health/locks"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// blocker returns the connection at the end of the chain for which most others
// wait; nil if none is known.
func (e *evaluator) blocker(server string) *locks.Blocker {
	b, known := e.blockers[server]
	if !known {
		b = locks.Find(e.State, server)
		e.blockers[server] = b
	}
	return b
}

// blockedBy returns the end of a summary that names the blocker of a server; ""
// where there is none.
func (e *evaluator) blockedBy(server string) string {
	b := e.blocker(server)
	if b == nil {
		return ""
	}
	return fmt.Sprintf("; connection %d%s blocks %d", b.ID, ownerOf(&b.Connection), len(b.Waiting))
}

// ownerOf returns whose a connection is, e.g. " of worker 2 of shop" or " of user
// ann from 10.0.0.7"; "" where that is not known.
func ownerOf(x *model.Connection) string {
	switch {
	case x.Slot != "" && x.PID != 0:
		return fmt.Sprintf(" of worker %s (pid %d) of %s", x.Slot, x.PID, x.App)
	case x.Slot != "":
		return " of worker " + x.Slot + " of " + x.App
	case x.User != "" && x.Host != "":
		return " of user " + x.User + " from " + x.Host
	case x.User != "":
		return " of user " + x.User
	}
	return ""
}

// connectionCause returns the cause of advice about a connection.
func connectionCause(server string, id uint64) string {
	return fmt.Sprintf("mysql:%s/connection:%d", server, id)
}

// blockerAdvice returns the line about the holder of a lock: who it is, what its worker
// waits for, how to end it, and which workers not to end.
func blockerAdvice(b *locks.Blocker, c *evaluator) advice {
	does := ""
	if b.State != "" {
		does = ", " + b.State + ","
	}
	line := fmt.Sprintf("Connection %d%s on MySQL %s%s holds a lock that %s for, the longest for %s", b.ID, ownerOf(&b.Connection), b.Server, does, waitFor(len(b.Waiting)), FormatSeconds(b.Longest))
	if own := c.waitOf(b.App, b.Slot); own != nil && own.On != "mysql" {
		line += "; its worker " + waitText(own, true)
	}
	line += fmt.Sprintf(": let it finish, or end it with KILL %d", b.ID)
	return advice{rankRoot, connectionCause(b.Server, b.ID), line + "." + waitersText(b)}
}

// waitersText returns a sentence that names the workers that only wait and should
// not be ended; "" if none is known.
func waitersText(b *locks.Blocker) string {
	if len(b.Waiters) == 0 {
		return ""
	}
	return " Do not end " + workerList(b.Waiters) + ": " + choose(len(b.Waiters) == 1, "it waits", "they wait") + " for it."
}

// workerList returns workers as an enumeration of at most 8, grouped by app.
func workerList(waiters []locks.Waiter) string {
	const upTo = 8
	sorted := slices.Clone(waiters)
	slices.SortFunc(sorted, func(x, y locks.Waiter) int {
		if n := strings.Compare(x.App, y.App); n != 0 {
			return n
		}
		return CompareSlots(x.Slot, y.Slot)
	})
	var out []string
	for i, v := range sorted {
		if i == upTo {
			out = append(out, fmt.Sprintf("%d more", len(sorted)-upTo))
			break
		}
		text := "worker " + v.Slot
		if i > 0 && sorted[i-1].App == v.App {
			text = v.Slot
		} else if i+1 < len(sorted) && sorted[i+1].App == v.App {
			text = "workers " + v.Slot
		}
		if i+1 == len(sorted) || sorted[i+1].App != v.App {
			text += " of " + v.App
		}
		out = append(out, text)
	}
	return enumerate(out)
}

func waitFor(n int) string {
	if n == 1 {
		return "1 other connection waits"
	}
	return fmt.Sprintf("%d other connections wait", n)
}

// CompareSlots orders the slots of workers: 2 before 10.
func CompareSlots(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}
