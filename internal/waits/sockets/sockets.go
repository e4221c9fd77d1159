// Package sockets keeps the sockets that threads wait for, with the names of their other
// ends, and the seconds that are not named yet.
package sockets

import (
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
)

const (
	// maxNames is how many sockets are known by name. A user may have as many of them
	// as are free.
	maxNames = 8192
	// unusedFor is how long a name is kept that no thread waits for.
	unusedFor = time.Minute
	// maxTries is how often the kernel is queried for a socket that a thread
	// waits for.
	maxTries = 3
	// drawnFor is how long a name stands for sockets of its app that were closed
	// before they had one.
	drawnFor = time.Minute
	// maxPending is how many totals may wait for the name of one socket: those of the
	// slot and of some views. The seconds of the one beyond count as other.
	maxPending = 4
)

// Socket is a socket that a thread waits or has waited for. Until it has its
// name the seconds are pending.
type Socket struct {
	Inode      uint64
	Owner      procfs.Account // of the app
	App        string
	Named      bool
	On         ledger.On
	Peer, Kind string // as model.Thread has them
	Asked      bool   // it is among those that are to be named
	tries      int
	Used       time.Time

	pending [maxPending]pending
}

// pending is seconds that were waited for a socket without a name.
type pending struct {
	seconds float64
	to      *ledger.Seconds // where they belong; nil: there are none
}

// Credit adds seconds that a thread has waited for the socket to the totals to, by what
// the socket is. Until it is named they are pending; beyond maxPending totals they count
// as Other.
func (n *Socket) Credit(seconds float64, to *ledger.Seconds) {
	if n.Named {
		to[n.On] += seconds
		return
	}
	for i := range n.pending {
		if p := &n.pending[i]; p.to == nil || p.to == to {
			p.seconds, p.to = p.seconds+seconds, to
			return
		}
	}
	to[ledger.Other] += seconds
}

// flush adds the pending seconds to their totals, as waits of the kind on.
func (n *Socket) flush(on ledger.On) {
	for i := range n.pending {
		if p := &n.pending[i]; p.to != nil {
			p.to[on] += p.seconds
		}
		n.pending[i] = pending{}
	}
}

// drawn is what the last socket of an app was that got its name.
type drawn struct {
	on ledger.On
	at time.Time
}

// Names is the sockets that threads wait for, by inode. Inodes are unique
// over all network namespaces.
type Names struct {
	byInode map[uint64]*Socket
	of      map[procfs.Account]int // how many each user has
	fresh   []*Socket              // to be named
	last    map[string]drawn       // by app
	dropped uint64                 // sockets beyond the bound, which get no name
}

// Fresh returns the sockets that are still to be named, and some that were since the last
// Sweep; the slice is not a copy.
func (s *Names) Fresh() []*Socket { return s.fresh }

// ByInode returns a socket by its inode; nil if it has no entry: no thread has waited for
// it lately, or there were too many.
func (s *Names) ByInode(inode uint64) *Socket { return s.byInode[inode] }

// Dropped returns how often a socket got no entry because there were too many.
func (s *Names) Dropped() uint64 { return s.dropped }

// Name returns the entry of a socket of an app and its user, and asks for its name if it
// has none; nil if it is new and there are too many, of that user or of all.
func (s *Names) Name(owner procfs.Account, app string, inode uint64, now time.Time) *Socket {
	n := s.byInode[inode]
	if n == nil {
		if s.of[owner] >= maxNames-len(s.byInode) {
			s.dropped++
			return nil
		}
		if s.byInode == nil {
			s.byInode, s.of = make(map[uint64]*Socket), make(map[procfs.Account]int)
		}
		n = &Socket{Inode: inode, Owner: owner, App: app}
		s.byInode[inode] = n
		s.of[owner]++
	}
	if !n.Named && !n.Asked {
		n.Asked, n.tries = true, 0
		s.fresh = append(s.fresh, n)
	}
	n.Used = now
	return n
}

// Set names a socket by what [conns.Namespaces.NamePeers] has returned. One that was
// closed before it could be named gets the kind of the app's socket that was named last:
// which one that is depends on the moment, so each kind gets its share over time. One
// still waited for is asked again.
func (s *Names) Set(n *Socket, on, peer string, now time.Time) {
	if on == conns.OnOther && peer == "" {
		n.tries++
		waited := now.Sub(n.Used) < time.Second/2
		switch d := s.last[n.App]; {
		case waited && n.tries < maxTries:
			return
		case !waited && now.Sub(d.at) < drawnFor:
			n.Asked = false
			n.flush(d.on)
		default:
			n.resolve(ledger.Other, "")
		}
		return
	}
	n.resolve(ledger.Parse(on), peer)
	if s.last == nil {
		s.last = make(map[string]drawn)
	}
	s.last[n.App] = drawn{n.On, now}
}

// resolve sets the name of a socket, and adds its pending seconds.
func (n *Socket) resolve(on ledger.On, peer string) {
	n.Named, n.Asked, n.On, n.Peer = true, false, on, peer
	if at := strings.LastIndex(peer, " ("); at > 0 && strings.HasSuffix(peer, ")") {
		n.Kind = peer[at+2 : len(peer)-1]
	}
	n.flush(on)
}

// Sweep removes the sockets that no thread has waited for in the last minute.
func (s *Names) Sweep(now time.Time) {
	open := s.fresh[:0]
	for _, n := range s.fresh {
		if n.Asked && !n.Named {
			open = append(open, n)
		}
	}
	clear(s.fresh[len(open):])
	s.fresh = open
	for inode, n := range s.byInode {
		if !n.Asked && now.Sub(n.Used) > unusedFor {
			delete(s.byInode, inode)
			if s.of[n.Owner]--; s.of[n.Owner] == 0 {
				delete(s.of, n.Owner)
			}
		}
	}
	for app, d := range s.last {
		if now.Sub(d.at) > drawnFor {
			delete(s.last, app)
		}
	}
}
