package collectors

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
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
