package collectors

import (
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/mysql/locks"
)

// addLockSuspect adds the connection that is likely to hold the lock of a table for
// which others wait, because servers do not report who does. It is the one with the
// oldest transaction that was open before the first of them began to wait and waits for
// nothing itself; else the only connection of no watched app that has slept since then,
// as after LOCK TABLES. Of several such connections none is added.
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

// oldestTransaction returns the index and the age of the thread with the oldest
// transaction that has been open for at least that long and waits for nothing; −1 if
// there is none.
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

// onlySleeper returns the index of the only connection of no watched app that has slept
// for that long; −1 if there is none or several. Servers count in whole seconds.
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

// onlyCandidate returns the only connection that can hold the lock for which another
// one waits, where the server does not list who holds which; 0 if there are several. It
// is the only one whose transaction or statement has been open since before the wait
// and waits for nothing, else the only one of no watched app that has slept since then.
// A lock that stops the whole server is held by no transaction, so for it both count
// alike, and only those of no watched app.
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

// openSince returns the connections whose transactions have been open for at least that
// long and wait for nothing. Servers count in whole seconds.
func (l *poolRead) openSince(least time.Duration) map[uint64]bool {
	open := make(map[uint64]bool)
	for i := range l.transactions {
		if t := &l.transactions[i]; !t.Waits && t.Age+time.Second >= least {
			open[t.Thread] = true
		}
	}
	return open
}
