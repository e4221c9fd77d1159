package collectors

import (
	"cmp"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

const (
	// maxStoreConnections and maxStoreWaits bound the connections and the waits of one
	// server in the state.
	maxStoreConnections = 5000
	maxStoreWaits       = 500
	// maxStatement bounds a statement without its values, and maxTable the name of a table,
	// in bytes.
	maxStatement = 200
	maxTable     = 128
)

// addStore adds to the state the waits inside a server, and the connections of the apps
// and of all that wait or block, within the limits.
func (c *Pool) addStore(s *Sample, p *poolServer, l poolRead) {
	waits := l.storeWaits()
	over := max(0, len(waits)-maxStoreWaits)
	waits, c.droppedWaits = waits[:len(waits)-over], c.droppedWaits+over
	s.State.StoreWaits = append(s.State.StoreWaits, waits...)
	party := make(map[uint64]bool, 2*len(waits))
	for i := range waits {
		party[waits[i].Waiter], party[waits[i].Blocker] = true, true
	}
	l.joinUnix(p, c.o.InnerPID)
	open := make(map[uint64]time.Duration, len(l.transactions))
	for i := range l.transactions {
		open[l.transactions[i].Thread] = l.transactions[i].Age
	}
	words := wordList{}
	room := maxStoreConnections
	s.State.StoreConnections = slices.Grow(s.State.StoreConnections, min(room, l.ofApps()+len(party)))
	for i := range l.threads {
		t := &l.threads[i]
		if t.Own || t.Command == "Daemon" || l.owners[i].App == "" && !party[t.ID] {
			continue
		}
		if room--; room < 0 {
			c.droppedConnections++
			continue
		}
		x := l.storeConnection(i, words)
		if age, ok := open[t.ID]; ok {
			x.Transaction = model.Known(age.Seconds())
		}
		s.State.StoreConnections = append(s.State.StoreConnections, x)
	}
}

// ofApps returns how many threads belong to watched apps.
func (l *poolRead) ofApps() (n int) {
	for i := range l.owners {
		if l.owners[i].App != "" {
			n++
		}
	}
	return n
}

// storeConnection returns the i-th thread as a connection of the state, without its
// transaction. Texts from the server are cleaned and cut; the statement has no values.
func (l *poolRead) storeConnection(i int, words wordList) model.StoreConnection {
	t := &l.threads[i]
	x := model.StoreConnection{
		Connection: model.Connection{
			Owner: l.owners[i], ID: t.ID, User: words.clean(t.User), Host: words.clean(parseClient(t.Host).name),
		},
		Server: "mysql:" + l.Name, Socket: l.sockets[i], Command: words.clean(t.Command), State: words.clean(t.State),
		Digest: cmp.Or(l.details.statements[t.ID], t.Summary.String()), Seconds: t.Time.Seconds(),
	}
	if x.Digest != "" {
		x.Digest = text.Label(x.Digest, maxStatement)
	}
	return x
}

// wordList is words that were cleaned: of a thousand connections few have words of
// their own.
type wordList map[string]string

// clean returns a word that a server sent, cleaned and cut to maxClientText bytes; "" for
// "". It remembers the words.
func (w wordList) clean(s string) string {
	if s == "" {
		return ""
	}
	out, ok := w[s]
	if !ok {
		out = text.Label(s, maxClientText)
		w[s] = out
	}
	return out
}

// joinUnix sets the owners and sockets of connections over a UNIX socket by the pids that
// their clients claim, each in its own PID namespace. A claim is believed if the kernel
// shows as many connections of that process to the server as claim it, and if all clients
// claim one.
//
// The socket is set if the process has only one. Without claims it goes by elimination,
// see [poolRead.joinUnixRest].
func (l *poolRead) joinUnix(p *poolServer, innerPID func(pid int) (int, error)) {
	claims := l.claims(p)
	if len(claims) == 0 || innerPID == nil {
		l.joinUnixRest(p)
		return
	}
	for pid, places := range l.overUnix(innerPID) {
		if len(places) != len(claims[pid]) {
			continue
		}
		for _, i := range claims[pid] {
			l.owners[i] = l.view.owner(places[0])
			if len(places) == 1 {
				l.sockets[i] = l.view.list[places[0]].Inode
			}
		}
	}
}

// claims returns the indexes of the threads over a UNIX socket by the pid that they
// claim; nil if one claims none, or is newer than the sample of connections.
func (l *poolRead) claims(p *poolServer) map[int][]int {
	out := make(map[int][]int)
	for i := range l.threads {
		t := &l.threads[i]
		if !isOverUnix(t) {
			continue
		}
		pid := l.details.pids[t.ID]
		if at := p.seen[t.ID]; pid == 0 || at == nil || l.view.taken.Before(at.after) {
			return nil
		}
		out[pid] = append(out[pid], i)
	}
	return out
}

// overUnix returns the sampled connections to the server over a UNIX socket, as indexes,
// by the pid that their process has in its own namespace. Left out are a pid that two
// processes have, a process whose pid there is not known, and what is in a network
// namespace that any user may have made.
func (l *poolRead) overUnix(innerPID func(pid int) (int, error)) map[int][]int {
	byPID := make(map[int][]int)
	for i := range l.view.list {
		if x := &l.view.list[i]; x.PID != 0 && x.Vouched && !x.Remote.IsValid() && x.Component == "mysql:"+l.Name {
			byPID[x.PID] = append(byPID[x.PID], i)
		}
	}
	out := make(map[int][]int)
	twice := make(map[int]bool)
	for pid, places := range byPID {
		inner, err := innerPID(pid)
		if err != nil {
			continue
		}
		if out[inner] != nil {
			twice[inner] = true
		}
		out[inner] = places
	}
	for inner := range twice {
		delete(out, inner)
	}
	return out
}

// storeWaits returns who waits for whom in the server, the longest wait first; nil if
// nobody does. The blocker is 0 where it is not known or, of a table, not among the
// threads; where it was inferred, Likely is set.
func (l *poolRead) storeWaits() []model.StoreWait {
	place := make(map[uint64]*mysql.Thread)
	waiting := make(map[uint64]bool)
	if len(l.waits)+len(l.details.waits) == 0 {
		return nil
	}
	for i := range l.threads {
		place[l.threads[i].ID] = &l.threads[i]
	}
	out := l.rowWaits(place)
	for i := range out {
		waiting[out[i].Waiter] = true
	}
	for _, w := range l.details.waits {
		waiting[w.Waiter] = true
	}
	for _, w := range l.details.waits {
		t := place[w.Waiter]
		x := model.StoreWait{Server: "mysql:" + l.Name, Waiter: w.Waiter, Blocker: w.Blocker, Likely: w.Likely, Kind: w.Kind, Object: tableName(w.Object), Seconds: t.Time.Seconds()}
		if place[x.Blocker] == nil {
			x.Blocker, x.Likely = 0, false
		}
		if x.Blocker == 0 && !l.details.listed {
			x.Blocker = l.onlyCandidate(w, t, waiting)
			x.Likely = x.Blocker != 0
		}
		out = append(out, x)
	}
	slices.SortFunc(out, func(x, y model.StoreWait) int {
		return cmp.Or(-cmp.Compare(x.Seconds, y.Seconds), cmp.Compare(x.Waiter, y.Waiter), cmp.Compare(x.Blocker, y.Blocker))
	})
	return out
}

// rowWaits returns the waits for rows, each pair of connections once; nil if there is none.
// Left out are those of which a transaction is not known, or whose waiter is not in place,
// the threads by id; the blocker may be missing there.
func (l *poolRead) rowWaits(place map[uint64]*mysql.Thread) []model.StoreWait {
	byID := l.transactionsByID()
	seen := make(map[[2]uint64]bool)
	var out []model.StoreWait
	for _, w := range l.waits {
		waiter, blocker := byID[w.Waiting], byID[w.Blocking]
		if waiter == nil || blocker == nil || place[waiter.Thread] == nil || seen[[2]uint64{waiter.Thread, blocker.Thread}] {
			continue
		}
		seen[[2]uint64{waiter.Thread, blocker.Thread}] = true
		out = append(out, model.StoreWait{
			Server: "mysql:" + l.Name, Waiter: waiter.Thread, Blocker: blocker.Thread, Kind: "row", Object: tableName(w.Table), Seconds: waiter.Waiting.Seconds(),
		})
	}
	return out
}

// tableName returns the name of a table, cleaned and cut to 128 bytes; "" for "".
func tableName(table string) string {
	if table == "" {
		return ""
	}
	return text.Label(table, maxTable)
}
