package sampling

import (
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
)

const (
	// maxSocketNames is how many sockets are known by name.
	maxSocketNames = 8192
	// socketUnused is how long a name is kept that no thread waits for.
	socketUnused = time.Minute
	// socketTries is how often the kernel is queried for a socket that a thread
	// waits for.
	socketTries = 3
	// drawnFor is how long a name stands for sockets of its app that were closed
	// before they had one.
	drawnFor = time.Minute
)

// socketName is a socket that a thread waits or has waited for. Until it has its
// name the seconds are pending.
type socketName struct {
	inode      uint64
	app        string
	named      bool
	on         ledger.On
	peer, kind string // as model.Thread has them
	asked      bool   // it is among those that are to be named
	tries      int
	used       time.Time

	pending float64
	slot    *ledger.Slot // for which seconds are pending
	view    *ledger.View // and for which of its views; nil: none
}

// credit adds seconds that a thread has waited for the socket.
func (n *socketName) credit(seconds float64, slot *ledger.Slot, view *ledger.View) {
	if n.named {
		slot.Seconds[n.on] += seconds
		if view != nil {
			view.Seconds[n.on] += seconds
		}
		return
	}
	if n.view != view || n.slot != slot {
		n.flush(ledger.Other)
	}
	n.pending += seconds
	n.slot, n.view = slot, view
}

// flush adds the pending seconds to what they were spent on.
func (n *socketName) flush(on ledger.On) {
	if n.slot != nil {
		n.slot.Seconds[on] += n.pending
	}
	if n.view != nil {
		n.view.Seconds[on] += n.pending
	}
	n.pending, n.slot, n.view = 0, nil, nil
}

// drawn is what the last socket of an app was that got its name.
type drawn struct {
	on ledger.On
	at time.Time
}

// socketNames is the sockets that threads wait for, by inode. Inodes are unique
// over all network namespaces.
type socketNames struct {
	byInode map[uint64]*socketName
	fresh   []*socketName    // to be named
	last    map[string]drawn // by app
	dropped uint64           // sockets beyond the bound, which get no name
}

// name returns the entry of a socket; nil beyond the bound.
func (s *socketNames) name(app string, inode uint64, now time.Time) *socketName {
	n := s.byInode[inode]
	if n == nil {
		if len(s.byInode) >= maxSocketNames {
			s.dropped++
			return nil
		}
		if s.byInode == nil {
			s.byInode = make(map[uint64]*socketName)
		}
		n = &socketName{inode: inode, app: app}
		s.byInode[inode] = n
	}
	if !n.named && !n.asked {
		n.asked, n.tries = true, 0
		s.fresh = append(s.fresh, n)
	}
	n.used = now
	return n
}

// set names a socket by what [conns.Namespaces.NamePeers] says of it. Connections
// that live for less than a second are often closed before they can be named.
// They count as the last socket of the app that was named: which one that is
// depends on the moment, so that each kind has its part over time.
func (s *socketNames) set(n *socketName, on, peer string, now time.Time) {
	if on == conns.OnOther && peer == "" {
		n.tries++
		waited := now.Sub(n.used) < time.Second/2
		switch d := s.last[n.app]; {
		case waited && n.tries < socketTries:
			return
		case !waited && now.Sub(d.at) < drawnFor:
			n.asked = false
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
	s.last[n.app] = drawn{n.on, now}
}

// resolve sets what a socket is.
func (n *socketName) resolve(on ledger.On, peer string) {
	n.named, n.asked, n.on, n.peer = true, false, on, peer
	if at := strings.LastIndex(peer, " ("); at > 0 && strings.HasSuffix(peer, ")") {
		n.kind = peer[at+2 : len(peer)-1]
	}
	n.flush(on)
}

// sweep forgets the sockets that no thread has waited for lately.
func (s *socketNames) sweep(now time.Time) {
	open := s.fresh[:0]
	for _, n := range s.fresh {
		if n.asked && !n.named {
			open = append(open, n)
		}
	}
	clear(s.fresh[len(open):])
	s.fresh = open
	for inode, n := range s.byInode {
		if !n.asked && now.Sub(n.used) > socketUnused {
			delete(s.byInode, inode)
		}
	}
	for app, d := range s.last {
		if now.Sub(d.at) > drawnFor {
			delete(s.last, app)
		}
	}
}
