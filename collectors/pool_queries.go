package collectors

import (
	"cmp"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

const (
	// maxQueries bounds the statements of one server that are named one by one.
	maxQueries = 5
	// queryAfter is how long a statement runs until it is named.
	queryAfter = time.Second
	// maxClientText bounds the name of a user and of a host, in bytes.
	maxClientText = 64
)

// clientOf returns the user and the host of a connection, cleaned and bounded.
func clientOf(t *mysql.Thread) (user, host string) {
	if t.Host == "" && t.User == "" {
		return "", ""
	}
	return text.Label(t.User, maxClientText), text.Label(parseClient(t.Host).name, maxClientText)
}

// noteQueries names the statements of clients that have been running longest,
// with the workers that sent them. One that waits for a lock is not at work.
func (l *poolLook) noteQueries(s *Sample, owners []owner) {
	waits := make(map[uint64]bool)
	for _, w := range l.lockWaits() {
		waits[w.waiter] = true
	}
	var running []int // places in l.threads
	for i := range l.threads {
		if t := &l.threads[i]; !t.Own && t.Time >= queryAfter && ofClient(t) && !waits[t.ID] {
			running = append(running, i)
		}
	}
	slices.SortFunc(running, func(a, b int) int {
		x, y := &l.threads[a], &l.threads[b]
		return cmp.Or(-cmp.Compare(x.Time, y.Time), cmp.Compare(x.ID, y.ID))
	})
	for _, i := range running[:min(len(running), maxQueries)] {
		t, who := &l.threads[i], owners[i]
		user, host := clientOf(t)
		s.note("mysql_query", t.Time.Seconds(), l.Name, number(t.ID), user, host,
			who.app, who.worker, number(uint64(who.pid)), cmp.Or(t.Statement.String(), "statement"))
	}
}
