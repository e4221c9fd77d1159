package collectors

import (
	"cmp"
	"slices"
	"time"

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

// noteQueries names the statements of clients that have been running longest,
// with the workers that sent them.
func (l *poolLook) noteQueries(s *Sample, owners []owner) {
	var running []int // places in l.threads
	for i := range l.threads {
		if t := &l.threads[i]; !t.Own && t.Time >= queryAfter && ofClient(t) {
			running = append(running, i)
		}
	}
	slices.SortFunc(running, func(a, b int) int {
		x, y := &l.threads[a], &l.threads[b]
		return cmp.Or(-cmp.Compare(x.Time, y.Time), cmp.Compare(x.ID, y.ID))
	})
	for _, i := range running[:min(len(running), maxQueries)] {
		t, who := &l.threads[i], owners[i]
		host := parseClient(t.Host).name
		s.note("mysql_query", t.Time.Seconds(), l.Name, number(t.ID), text.Label(t.User, maxClientText), text.Label(host, maxClientText),
			who.app, who.worker, number(uint64(who.pid)), cmp.Or(t.Statement, "statement"))
	}
}
