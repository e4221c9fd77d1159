package collectors

import (
	"cmp"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

const (
	// maxQueries bounds the statements of one server in the state.
	maxQueries = 5
	// queryAfter is how long a statement must run to be in the state.
	queryAfter = time.Second
	// maxClientText bounds the name of a user and of a host, and what else a client is
	// described with, in bytes.
	maxClientText = 64
)

// addQueries adds the five longest statements of clients to the state, with their workers,
// of those that run for at least a second and do not wait for a lock.
func (l *poolRead) addQueries(s *Sample, owners []model.Owner) {
	waits := make(map[uint64]bool)
	for _, w := range l.lockWaits() {
		waits[w.Waiter.ID] = true
	}
	var running []int // indexes in l.threads
	for i := range l.threads {
		if t := &l.threads[i]; !t.Own && t.Time >= queryAfter && isClientStatement(t) && !waits[t.ID] {
			running = append(running, i)
		}
	}
	slices.SortFunc(running, func(a, b int) int {
		x, y := &l.threads[a], &l.threads[b]
		return cmp.Or(-cmp.Compare(x.Time, y.Time), cmp.Compare(x.ID, y.ID))
	})
	for _, i := range running[:min(len(running), maxQueries)] {
		t := &l.threads[i]
		s.State.Queries = append(s.State.Queries, model.Query{
			Server: l.Name, Connection: connectionOf(t, owners[i]), Statement: cmp.Or(t.Statement.String(), "statement"), Seconds: t.Time.Seconds(),
		})
	}
}
