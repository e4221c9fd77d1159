package collectors

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// noteSuspect names the connection that is likely to hold the lock of a table for
// which others wait: servers do not say who does. It is the oldest transaction
// that was open before the first of them came to wait and waits for nothing
// itself; else the one connection of no watched app that has slept since then, as
// after LOCK TABLES. Where several have, none is named.
func (l *poolLook) noteSuspect(s *Sample, owners []owner, waits []lockWait) {
	waiting := make(map[uint64]bool)
	longest := time.Duration(-1)
	for _, w := range waits {
		waiting[w.waiter] = true
		if w.blocker == 0 {
			longest = max(longest, w.took)
		}
	}
	if longest < 0 {
		return
	}
	place := make(map[uint64]int, len(l.threads))
	for i := range l.threads {
		place[l.threads[i].ID] = i
	}
	note := func(i int, does string, since time.Duration) {
		t, who := &l.threads[i], owners[i]
		user, host := clientOf(t)
		s.note("lock_suspect", since.Seconds(), l.Name, number(t.ID), user, host, who.app, who.worker, number(uint64(who.pid)), does)
	}
	var oldest *mysql.Transaction
	for i := range l.transactions {
		t := &l.transactions[i]
		at, known := place[t.Thread]
		if !known || l.threads[at].Own || t.Waits || waiting[t.Thread] || t.Age < longest {
			continue
		}
		if oldest == nil || t.Age > oldest.Age {
			oldest = t
		}
	}
	if oldest != nil {
		note(place[oldest.Thread], "had a transaction open", oldest.Age)
		return
	}
	foreign := -1
	for i := range l.threads {
		t := &l.threads[i]
		if t.Own || t.Command != "Sleep" || owners[i].app != "" || t.Time+time.Second < longest {
			continue
		}
		if foreign >= 0 {
			return
		}
		foreign = i
	}
	if foreign >= 0 {
		note(foreign, "slept", l.threads[foreign].Time)
	}
}
