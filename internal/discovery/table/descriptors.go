package table

import (
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// Descriptors is what the open files of a process tell us. They are read when
// a process becomes interesting and when a listening socket appears, never at
// every scrape.
type Descriptors struct {
	Known     bool
	Err       error            // why they cannot be read
	Sockets   map[uint64][]int // inode → descriptors
	Heartbeat int              // gunicorn's unlinked wgunicorn-* file; -1: none, or more than one yet
	Polls     []int            // epoll sets; at most maxPolls
	Beat      string           // what that file was called
	Beats     int              // how many of them there are
	Left      int              // descriptors that were not looked at
	Full      bool             // sockets are left out, for there is no more room
	charged   procfs.Account   // whom the sockets are charged to
	Held      Holding          // the listeners among sockets, as of one look
}

// Users are the owners of sockets that have appeared.
type Users map[uint32]bool

// Concern reports whether a process may hold a socket of one of these users.
// Any process may hold one of root's, who opens it for others.
func (u Users) Concern(p *Process) bool {
	return u[0] || u[p.UID] || p.Owner.Known && u[uint32(p.Owner.Account)]
}

// maxPolls bounds the epoll sets of one process that are looked at.
const maxPolls = 16

// keptSockets bounds the sockets of one account's processes that are kept;
// root's is [rootsShare] times as much. Beyond it none but the listening ones are.
const keptSockets = 1 << 16

// DropDescriptors forgets the descriptors of a process.
func (t *Table) DropDescriptors(p *Process) {
	if d := p.Opened; d != nil && len(d.Sockets) > 0 {
		if t.held[d.charged] -= len(d.Sockets); t.held[d.charged] <= 0 {
			delete(t.held, d.charged)
		}
	}
	p.Opened = nil
}

// ReadDescriptors reads the descriptors of a process if its account's allowance
// permits; false: they are as they were, and it is the next look's turn.
func (t *Table) ReadDescriptors(p *Process) bool {
	a := t.Owner(p).Account
	if !t.Budget.has(a, CostLink) {
		p.Stale = true
		return false
	}
	t.Budget.Spend(a, CostLink, 8+t.readDescriptors(p))
	return true
}

// readDescriptors reads the links of /proc/PID/fd and returns how many there are.
func (t *Table) readDescriptors(p *Process) int {
	t.DropDescriptors(p)
	p.Stale = false
	d := &Descriptors{Known: true, Sockets: make(map[uint64][]int), Heartbeat: -1, charged: t.Owner(p).Account}
	path := t.FS.Path(p.PID, "fd")
	list, err := t.FS.Entries(path, nil)
	if err != nil {
		d.Err = err
		p.Opened = d
		return 0
	}
	list, d.Left = t.FS.BoundFDs(list)
	if p.Member != nil || p.IsPython() || p.Match != 0 { // not of each process that a search for a listener passes
		t.SkippedFDs += uint64(d.Left)
	}
	for _, e := range list {
		link, err := t.FS.FDLink(p.PID, e.N)
		if err != nil {
			continue // closed meanwhile
		}
		if ino, ok := procfs.ParseSocketLink(link); ok {
			t.keep(p, d, ino, e.N)
		} else {
			d.note(link, e.N)
		}
	}
	if d.Beats != 1 { // a fork still holds its siblings' files until it has closed them
		d.Heartbeat = -1
	}
	p.Opened = d
	t.held[d.charged] += len(d.Sockets)
	return len(list)
}

// note keeps a descriptor that is no socket, if it is of use.
func (d *Descriptors) note(link string, fd int) {
	switch {
	case link == "anon_inode:[eventpoll]" && len(d.Polls) < maxPolls:
		d.Polls = append(d.Polls, fd)
	case strings.Contains(link, "/wgunicorn-") && strings.HasSuffix(link, " (deleted)"):
		d.Heartbeat, d.Beat = fd, link
		d.Beats++
	}
}

// keep notes a socket unless its account has too many.
func (t *Table) keep(p *Process, d *Descriptors, ino uint64, fd int) {
	bound := keptSockets
	if d.charged == 0 {
		bound *= rootsShare
	}
	if len(d.Sockets)+t.held[d.charged] < bound || t.Listens != nil && t.Listens(p, ino) {
		d.Sockets[ino] = append(d.Sockets[ino], fd)
	} else {
		d.Full = true
	}
}

// Holding is the listening sockets that a process has open, as of one look.
type Holding struct {
	Look uint64 // its number plus 1
	List []sockdiag.Listener

	Dirty bool // one of the others is of gunicorn's dirty arbiter or of its workers
}

// ReadOnce reads the descriptors of a process if that was never done, and its
// account's allowance permits.
func (t *Table) ReadOnce(p *Process) {
	if !p.FDs().Known {
		t.ReadDescriptors(p)
	}
}
