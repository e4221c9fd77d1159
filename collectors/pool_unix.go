package collectors

import (
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

const (
	// maxMatched is the number of connections over a UNIX socket up to which they are
	// joined by elimination.
	maxMatched = 24
	// waitedFor is how long a thread must have waited on a socket for its connection to be
	// certain to execute a statement, and statementSkew by how much the two times may
	// differ: the server counts whole seconds, and is read later.
	waitedFor     = 2 * time.Second
	statementSkew = 3 * time.Second
)

// unixSocket is the client's end of one connection to a server over a UNIX socket.
type unixSocket struct {
	place int           // in the sample of connections; -1: held by no app
	waits time.Duration // for how long a thread has waited on it; 0: none is known to
}

// joinUnixRest sets the owners and sockets of connections over a UNIX socket by
// elimination, if the kernel shows exactly as many as the server lists. A socket on which
// a thread has waited for some seconds belongs to a connection that executes a statement
// for as long. An owner, or a socket, is set if it is the same in every way in which all
// fit together.
func (l *poolRead) joinUnixRest(p *poolServer) {
	threads, own := l.unixThreads(p)
	sockets := l.unixSockets(len(threads), own)
	if len(threads) == 0 || len(threads) > maxMatched || len(sockets) != len(threads) {
		return
	}
	m := newMatching(len(threads), func(i, j int) bool { return l.mayBe(threads[i], &sockets[j]) })
	if m == nil {
		return // the sources contradict each other
	}
	for i, t := range threads {
		var places []int
		for j := range sockets {
			if m.possible(i, j) {
				places = append(places, sockets[j].place)
			}
		}
		l.setUnixOwner(t, places)
	}
}

// setUnixOwner sets the owner and the socket of a thread that belongs to one of these
// sampled connections: the owner if they share one, the socket if there is only one. A
// place of -1 is none of them: nothing is set.
func (l *poolRead) setUnixOwner(thread int, places []int) {
	if len(places) == 0 || slices.Contains(places, -1) {
		return
	}
	owner := l.view.owner(places[0])
	if slices.ContainsFunc(places, func(place int) bool { return l.view.owner(place) != owner }) {
		return
	}
	if l.owners[thread] = owner; len(places) == 1 {
		l.sockets[thread] = l.view.list[places[0]].Inode
	}
}

// unixThreads returns the threads of clients over a UNIX socket, as indexes, and how many
// more are the exporter's own; nil and 0 if one is newer than the sample of connections.
func (l *poolRead) unixThreads(p *poolServer) (clients []int, own int) {
	for i := range l.threads {
		switch t := &l.threads[i]; {
		case t.Own && t.Host == "localhost":
			own++
		case isOverUnix(t):
			if at := p.seen[t.ID]; at == nil || at.first.After(l.view.taken) {
				return nil, 0
			}
			clients = append(clients, i)
		}
	}
	return clients, own
}

// unixSockets returns the client's ends of n connections to the server over a UNIX socket:
// first those of apps, then, with place −1, as many as are missing. It is nil unless the
// kernel shows exactly n and the exporter's own.
func (l *poolRead) unixSockets(n, own int) []unixSocket {
	server := "mysql:" + l.Name
	all, known := l.view.local[server]
	if !known || all != n+own {
		return nil
	}
	var out []unixSocket
	for i := range l.view.list {
		if x := &l.view.list[i]; x.Vouched && !x.Remote.IsValid() && x.Component == server {
			out = append(out, unixSocket{i, l.view.waitsOn(x.App, x.PID, x.Inode)})
		}
	}
	for len(out) < n {
		out = append(out, unixSocket{place: -1})
	}
	return out
}

// waitsOn returns for how long a thread of a worker has waited for MySQL on a socket; 0 if
// none is known to wait there.
func (v *sampledConnections) waitsOn(app string, pid int, inode uint64) time.Duration {
	for i := range v.snap.Apps {
		if v.snap.Apps[i].Name != app {
			continue
		}
		for j := range v.snap.Apps[i].Workers {
			w := &v.snap.Apps[i].Workers[j]
			if w.PID != pid {
				continue
			}
			k := slices.IndexFunc(w.RequestThreads, func(t model.Thread) bool { return t.On == "mysql" && t.Socket == inode && inode != 0 })
			if k >= 0 {
				return time.Duration(w.RequestThreads[k].Seconds * float64(time.Second))
			}
		}
	}
	return 0
}

// mayBe reports whether the connection of the i-th thread may be that of a socket: if a
// thread of the app has waited there for two seconds or more, it must execute a statement
// for as long, give or take three; else it may always.
func (l *poolRead) mayBe(i int, s *unixSocket) bool {
	t := &l.threads[i]
	if s.waits < waitedFor {
		return true
	}
	return t.Command != "Sleep" && (t.Time-s.waits).Abs() <= statementSkew
}

// matching is one way in which n threads and n sockets belong together.
type matching struct {
	fits func(i, j int) bool
	of   []int // the thread of each socket
}

// newMatching returns an assignment of a fitting socket to each of n threads; nil if
// there is none.
func newMatching(n int, fits func(i, j int) bool) *matching {
	m := &matching{fits: fits, of: slices.Repeat([]int{-1}, n)}
	for i := range n {
		if !m.place(i, make([]bool, n)) {
			return nil
		}
	}
	return m
}

// place assigns a socket to thread i, and other sockets to threads that lose theirs by
// that. It does not touch sockets in seen. false: that is not possible.
func (m *matching) place(i int, seen []bool) bool {
	for j := range m.of {
		if seen[j] || !m.fits(i, j) {
			continue
		}
		seen[j] = true
		if m.of[j] < 0 || m.place(m.of[j], seen) {
			m.of[j] = i
			return true
		}
	}
	return false
}

// possible reports whether there is an assignment in which thread i has the socket j.
func (m *matching) possible(i, j int) bool {
	if m.of[j] == i {
		return true
	}
	if !m.fits(i, j) {
		return false
	}
	other := &matching{fits: m.fits, of: slices.Clone(m.of)}
	evicted := other.of[j]
	other.of[slices.Index(other.of, i)] = -1
	other.of[j] = i
	seen := make([]bool, len(m.of))
	seen[j] = true // it stays with i
	return other.place(evicted, seen)
}
