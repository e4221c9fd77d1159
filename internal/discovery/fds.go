package discovery

import (
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// descriptors is what the open files of a process tell us. They are read when
// a process becomes interesting and when a listening socket appears, never at
// every scrape.
type descriptors struct {
	known     bool
	err       error            // why they cannot be read
	sockets   map[uint64][]int // inode → descriptors
	heartbeat int              // gunicorn's unlinked wgunicorn-* file; -1: none, or more than one yet
	polls     []int            // epoll sets; at most maxPolls
	beat      string           // what that file was called
	beats     int              // how many of them there are
	left      int              // descriptors that were not looked at
	full      bool             // sockets are left out, for there is no more room
	charged   procfs.Account   // whom the sockets are charged to
	held      holding          // the listeners among sockets, as of one look
}

// fds returns what is known of the descriptors of a process.
func (p *process) fds() *descriptors {
	if p.opened == nil {
		return &descriptors{}
	}
	return p.opened
}

// users are the owners of sockets that have appeared.
type users map[uint32]bool

// concern reports whether a process may hold a socket of one of these users.
// Any process may hold one of root's, who opens it for others.
func (u users) concern(p *process) bool {
	return u[0] || u[p.uid] || p.own.known && u[uint32(p.own.Account)]
}

// maxPolls bounds the epoll sets of one process that are looked at.
const maxPolls = 16

// keptSockets bounds the sockets of one account's processes that are kept;
// root's is [rootsShare] times as much. Beyond it none but the listening ones are.
const keptSockets = 1 << 16

// dropDescriptors forgets the descriptors of a process.
func (t *table) dropDescriptors(p *process) {
	if d := p.opened; d != nil && len(d.sockets) > 0 {
		if t.held[d.charged] -= len(d.sockets); t.held[d.charged] <= 0 {
			delete(t.held, d.charged)
		}
	}
	p.opened = nil
}

// readWithin reads the descriptors of a process if its account's allowance
// permits; false: they are as they were, and it is the next look's turn.
func (t *table) readWithin(p *process) bool {
	a := t.owns(p).Account
	if !t.costs.has(a, costLink) {
		p.stale = true
		return false
	}
	t.costs.spend(a, costLink, 8+t.readDescriptors(p))
	return true
}

// readDescriptors reads the links of /proc/PID/fd and returns how many there are.
func (t *table) readDescriptors(p *process) int {
	t.dropDescriptors(p)
	p.stale = false
	d := &descriptors{known: true, sockets: make(map[uint64][]int), heartbeat: -1, charged: t.owns(p).Account}
	path := t.r.Path(p.pid, "fd")
	list, err := t.r.Entries(path, nil)
	if err != nil {
		d.err = err
		p.opened = d
		return 0
	}
	list, d.left = t.r.Bounded(list)
	if p.member != nil || p.python() || p.match != 0 { // not of each process that a search for a listener passes
		t.left += uint64(d.left)
	}
	for _, e := range list {
		link, err := t.r.FDLink(p.pid, e.N)
		if err != nil {
			continue // closed meanwhile
		}
		if ino, ok := procfs.ParseSocket(link); ok {
			t.keep(p, d, ino, e.N)
		} else {
			d.note(link, e.N)
		}
	}
	if d.beats != 1 { // a fork still holds its siblings' files until it has closed them
		d.heartbeat = -1
	}
	p.opened = d
	t.held[d.charged] += len(d.sockets)
	return len(list)
}

// note keeps a descriptor that is no socket, if it is of use.
func (d *descriptors) note(link string, fd int) {
	switch {
	case link == "anon_inode:[eventpoll]" && len(d.polls) < maxPolls:
		d.polls = append(d.polls, fd)
	case strings.Contains(link, "/wgunicorn-") && strings.HasSuffix(link, " (deleted)"):
		d.heartbeat, d.beat = fd, link
		d.beats++
	}
}

// keep notes a socket unless its account has too many.
func (t *table) keep(p *process, d *descriptors, ino uint64, fd int) {
	bound := keptSockets
	if d.charged == 0 {
		bound *= rootsShare
	}
	if len(d.sockets)+t.held[d.charged] < bound || t.listens != nil && t.listens(p, ino) {
		d.sockets[ino] = append(d.sockets[ino], fd)
	} else {
		d.full = true
	}
}

// holding is the listening sockets that a process has open, as of one look.
type holding struct {
	look uint64 // its number plus 1
	list []sockdiag.Listener

	dirty bool // one of the others is of gunicorn's dirty arbiter or of its workers
}
