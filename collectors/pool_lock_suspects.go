package collectors

import (
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/mysql/locks"
)

// addLockSuspect adds to the state the connection that is likely to hold a table's lock
// for which others wait, as servers do not report the holder: the one whose transaction
// is the oldest, began before the first wait, and waits for nothing.
//
// If there is none, it is the only connection of no watched app that has slept since
// then, as after LOCK TABLES; of several none is added.
func (l *poolRead) addLockSuspect(s *Sample, owners []model.Owner, waits []model.LockWait) {
	waiting := make(map[uint64]bool)
	longest := time.Duration(-1)
	for i := range waits {
		w := &waits[i]
		waiting[w.Waiter.ID] = true
		if w.Blocker.ID == 0 {
			longest = max(longest, time.Duration(w.Seconds*float64(time.Second)))
		}
	}
	if longest < 0 {
		return
	}
	i, age := l.oldestTransaction(waiting, longest)
	did := "had an open transaction"
	if i < 0 {
		if i = l.onlySleeper(owners, longest); i < 0 {
			return
		}
		did, age = "slept", l.threads[i].Time
	}
	s.State.LockSuspects = append(s.State.LockSuspects, model.LockSuspect{
		Server: l.Name, Connection: connectionOf(&l.threads[i], owners[i]), Did: did, Seconds: age.Seconds(),
	})
}

// oldestTransaction returns the thread, as an index, with the oldest transaction that has
// been open for at least least and waits for nothing, and its age; −1 and 0 if there is
// none. The exporter's own do not count.
func (l *poolRead) oldestTransaction(waiting map[uint64]bool, least time.Duration) (place int, age time.Duration) {
	open := make(map[uint64]time.Duration)
	for i := range l.transactions {
		if t := &l.transactions[i]; !t.Waits && !waiting[t.Thread] && t.Age >= least {
			open[t.Thread] = t.Age
		}
	}
	place = -1
	for i := range l.threads {
		if d, ok := open[l.threads[i].ID]; ok && !l.threads[i].Own && (place < 0 || d > age) {
			place, age = i, d
		}
	}
	return place, age
}

// onlySleeper returns the only connection of no watched app, as an index, that has slept
// for at least least; −1 if there is none or several. A second less counts too: servers
// count in whole seconds.
func (l *poolRead) onlySleeper(owners []model.Owner, least time.Duration) int {
	place := -1
	for i := range l.threads {
		t := &l.threads[i]
		if t.Own || t.Command != "Sleep" || owners[i].App != "" || t.Time+time.Second < least {
			continue
		}
		if place >= 0 {
			return -1
		}
		place = i
	}
	return place
}

// onlyCandidate returns the id of the only connection that can hold the lock of the wait
// w, if the server does not list the holder; 0 if there is none or several. It must have
// had a transaction or statement open since before the wait and wait for nothing, or if
// none has, be of no watched app and sleep since then. A lock of the whole server, unless
// FLUSH or BACKUP wants it, is held only by one of no watched app that sleeps or has a
// transaction since then.
func (l *poolRead) onlyCandidate(w locks.Wait, waiter *mysql.Thread, waiting map[uint64]bool) uint64 {
	// What wants to stop the server itself waits for those that work.
	global := w.Kind == locks.Global && !strings.HasPrefix(waiter.Summary.Verb, "FLUSH") && !strings.HasPrefix(waiter.Summary.Verb, "BACKUP")
	open := l.openSince(waiter.Time)
	var holders, sleepers []uint64
	for i := range l.threads {
		t := &l.threads[i]
		old := t.Time+time.Second >= waiter.Time
		switch {
		case t.Own || t.Command == "Daemon" || waiting[t.ID]:
		case !global && (open[t.ID] || old && isClientStatement(t)):
			holders = append(holders, t.ID)
		case l.owners[i].App == "" && (t.Command == "Sleep" && old || open[t.ID]):
			sleepers = append(sleepers, t.ID)
		}
	}
	switch {
	case len(holders) == 1:
		return holders[0]
	case len(holders) == 0 && len(sleepers) == 1:
		return sleepers[0]
	}
	return 0
}

// openSince returns the ids of the connections whose transaction waits for no row and may
// have been open for a time of least: up to a second less is taken too, as servers count in
// whole seconds. Whether one waits for the lock of a table is not looked at.
func (l *poolRead) openSince(least time.Duration) map[uint64]bool {
	open := make(map[uint64]bool)
	for i := range l.transactions {
		if t := &l.transactions[i]; !t.Waits && t.Age+time.Second >= least {
			open[t.Thread] = true
		}
	}
	return open
}
