// Package locks says which connection keeps which other one waiting for the lock of
// a table's definition, of a table or of the whole server, from what a MySQL or
// MariaDB server lists. It reads nothing.
package locks

import (
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/mysql/statement"
)

// Lock is one metadata lock that a connection holds or waits for.
type Lock struct {
	Connection uint64
	Space      string // "TABLE", "SCHEMA", "GLOBAL", "COMMIT", "BACKUP", …
	Object     string // "shop.orders", "shop"; "" for the whole server
	Mode       string // "SHARED_READ", "EXCLUSIVE", "BACKUP_FTWRL2", …
	Pending    bool   // it waits for it
}

// The kinds of a wait.
const (
	Metadata = "metadata" // of a table's definition, or of a schema, trigger, procedure, …
	Table    = "table"    // of a table's rows as a whole
	Global   = "global"   // FLUSH TABLES WITH READ LOCK, a backup
)

// KindOf returns the kind of lock for which a connection in this state of the process list
// waits: [Global] for the global read, backup or commit lock, [Table] for a table level
// lock or a table flush, [Metadata] for any other state "Waiting for … lock"; "" for all
// others.
func KindOf(state string) string {
	what, ok := strings.CutPrefix(state, "Waiting for ")
	switch {
	case !ok:
		return ""
	case what == "global read lock", what == "backup lock", what == "commit lock":
		return Global
	case what == "table level lock", what == "table flush":
		return Table
	case strings.HasSuffix(what, "metadata lock"), strings.HasSuffix(what, " lock"):
		return Metadata
	}
	return ""
}

// Waiter is a connection that waits for a lock, of the process list.
type Waiter struct {
	Connection uint64
	Kind       string
	Statement  statement.Summary
	Time       time.Duration // for which its statement has run
}

// Wait is one connection that waits for another one.
type Wait struct {
	Waiter, Blocker uint64 // Blocker is 0 where the lists do not show who it is
	Kind            string
	Object          string // "shop.orders"; "" where it is not known
	Likely          bool   // the server does not report that the blocker blocks, but it is the only one that can
}

// Waits returns who blocks the waiters, in their order: for each all its blockers, or one
// entry without a blocker. If the list contains the requested lock, as that of
// performance_schema does, the blockers follow from the modes of the locks; else from the
// waiter's statement and the locks of others.
func Waits(waiters []Waiter, list []Lock) []Wait {
	of := make(map[string][]Lock) // by place
	pending := make(map[uint64]Lock)
	for _, l := range list {
		of[l.place()] = append(of[l.place()], l)
		if l.Pending {
			pending[l.Connection] = l
		}
	}
	var out []Wait
	for i := range waiters {
		w := &waiters[i]
		var found []Wait
		if want, ok := pending[w.Connection]; ok {
			found = w.blockedBy(want, of[want.place()])
		} else {
			found = w.inferred(of, waiters)
		}
		out = append(out, found...)
	}
	return out
}

// place returns the space and the name of the locked object.
func (l Lock) place() string { return l.Space + " " + l.Object }

// blockedBy returns the waits for the lock want: for the connections that hold a
// conflicting lock or, if none does, for those that wait for one with priority over it; one
// wait without a blocker if there is neither.
func (w *Waiter) blockedBy(want Lock, others []Lock) []Wait {
	for _, pending := range []bool{false, true} {
		var out []Wait
		for _, l := range others {
			if l.Connection == w.Connection || l.Pending != pending || !conflicts(want, l) {
				continue
			}
			if x := (Wait{Waiter: w.Connection, Blocker: l.Connection, Kind: w.Kind, Object: want.Object}); !slices.Contains(out, x) {
				out = append(out, x)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return []Wait{{Waiter: w.Connection, Kind: w.Kind, Object: want.Object}}
}

// inferred returns the waits of a waiter whose lock is not listed, by its statement and
// the locks of others; one wait without a blocker if they do not tell.
func (w *Waiter) inferred(of map[string][]Lock, waiters []Waiter) []Wait {
	unknown := []Wait{{Waiter: w.Connection, Kind: w.Kind, Object: w.Statement.Only()}}
	switch w.Kind {
	case Global:
		unknown[0].Object = ""
		return w.forWholeServer(of[Lock{Space: "BACKUP"}.place()], unknown)
	case Table:
		return w.forRows(of, unknown)
	}
	modes := wanted(w.Statement.Verb)
	if len(modes) == 0 {
		return unknown
	}
	var out []Wait
	for _, table := range w.Statement.Tables {
		for _, l := range of[Lock{Space: "TABLE", Object: table}.place()] {
			x := Wait{Waiter: w.Connection, Blocker: l.Connection, Kind: w.Kind, Object: table}
			if l.Connection != w.Connection && !l.Pending && conflictsWithAll(l, modes) && !slices.Contains(out, x) {
				out = append(out, x)
			}
		}
	}
	if len(out) > 0 {
		return out
	}
	return w.behind(waiters, unknown)
}

// conflictsWithAll reports whether a lock that is held conflicts with each mode.
func conflictsWithAll(held Lock, modes []string) bool {
	return !slices.ContainsFunc(modes, func(m string) bool { return !conflicts(Lock{Space: held.Space, Mode: m}, held) })
}

// behind returns, as likely, the wait for the one other waiter that has waited as long or
// longer and wants the table for itself: what comes after it waits for it. unknown is
// returned if there is no such waiter, or several, or if w wants a table for itself too.
func (w *Waiter) behind(waiters []Waiter, unknown []Wait) []Wait {
	if slices.Equal(wanted(w.Statement.Verb), []string{exclusive}) {
		return unknown
	}
	var first *Waiter
	table := ""
	for i := range waiters {
		o := &waiters[i]
		if o.Connection == w.Connection || o.Kind != Metadata || o.Time < w.Time || !slices.Equal(wanted(o.Statement.Verb), []string{exclusive}) {
			continue
		}
		at := slices.IndexFunc(o.Statement.Tables, func(t string) bool { return slices.Contains(w.Statement.Tables, t) })
		if at < 0 {
			continue
		}
		if first != nil {
			return unknown
		}
		first, table = o, o.Statement.Tables[at]
	}
	if first == nil {
		return unknown
	}
	return []Wait{{Waiter: w.Connection, Blocker: first.Connection, Kind: w.Kind, Object: table, Likely: true}}
}

// forWholeServer returns the waits of a statement that FLUSH TABLES WITH READ LOCK stops;
// unknown if no other connection holds its lock, or the statement is a FLUSH, BACKUP or
// LOCK itself or is not known.
func (w *Waiter) forWholeServer(held []Lock, unknown []Wait) []Wait {
	if v := w.Statement.Verb; v == "" || strings.HasPrefix(v, "FLUSH") || strings.HasPrefix(v, "BACKUP") || strings.HasPrefix(v, "LOCK") {
		return unknown
	}
	var out []Wait
	for _, l := range held {
		x := Wait{Waiter: w.Connection, Blocker: l.Connection, Kind: w.Kind}
		if l.Connection != w.Connection && !l.Pending && strings.HasPrefix(l.Mode, "BACKUP_FTWRL") && !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	if len(out) == 0 {
		return unknown
	}
	return out
}

// forRows returns the wait for the only other connection that uses the table, as likely;
// unknown if there is none or several, or not one table in the statement. Who holds the
// lock of a table's rows is not listed, but holds one of its definition, too.
func (w *Waiter) forRows(of map[string][]Lock, unknown []Wait) []Wait {
	table := w.Statement.Only()
	other := uint64(0)
	for _, l := range of[Lock{Space: "TABLE", Object: table}.place()] {
		switch {
		case l.Connection == w.Connection || l.Pending || table == "":
		case other != 0 && other != l.Connection:
			return unknown
		default:
			other = l.Connection
		}
	}
	if other != 0 {
		unknown[0].Blocker, unknown[0].Likely = other, true
	}
	return unknown
}
