package table

import (
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// Descriptors is the open files of a process (/proc/PID/fd). They are read when a
// process becomes interesting and when a listening socket appears, not in each
// scan.
type Descriptors struct {
	Known         bool
	Err           error            // why they cannot be read
	Sockets       map[uint64][]int // inode → descriptors
	Heartbeat     int              // gunicorn's unlinked wgunicorn-* file; -1: none, or more than one yet
	Polls         []int            // epoll sets; at most maxPolls
	HeartbeatName string           // the name of that file
	Heartbeats    int              // how many such files it has
	Skipped       int              // descriptors beyond the bound, which were not read
	Full          bool             // sockets are left out, as the account has too many
	charged       procfs.Account   // to whom the sockets are charged
	Held          HeldListeners    // the listening ones of the sockets
}

// Users is the owners of sockets that have appeared, by user id.
type Users map[uint32]bool

// MayHold reports whether a process may hold a socket of one of these users. Any process
// may hold one of root's, since root opens sockets for others.
func (u Users) MayHold(p *Process) bool {
	return u[0] || u[p.UID] || p.Owner.Known && u[uint32(p.Owner.Account)]
}

// maxPolls is how many epoll sets of one process are kept.
const maxPolls = 64

// maxKeptSockets is how many sockets of the processes of one account are kept,
// rootFactor times as many of root's. Beyond it only listening sockets are.
const maxKeptSockets = 1 << 16

// DropDescriptors removes the descriptors of a process, and what they count for its
// account.
func (t *Table) DropDescriptors(p *Process) {
	if d := p.Descriptors; d != nil && len(d.Sockets) > 0 {
		if t.keptSockets[d.charged] -= len(d.Sockets); t.keptSockets[d.charged] <= 0 {
			delete(t.keptSockets, d.charged)
		}
	}
	p.Descriptors = nil
}

// ReadDescriptors reads the descriptors of a process and returns true, also if they may
// not be read: see Err. If its account's allowance is used up it returns false: they stay
// as they are and are read in the next scan.
func (t *Table) ReadDescriptors(p *Process) bool {
	a := t.Owner(p).Account
	if !t.Budget.has(a, CostLink) {
		p.FDsStale = true
		return false
	}
	t.Budget.Spend(a, CostLink, 8+t.readDescriptors(p))
	return true
}

// readDescriptors sets the descriptors of a process by the links of /proc/PID/fd, and returns
// how many links were read, for the budget; 0 or 1 with an error, which is in p.FDs().Err.
func (t *Table) readDescriptors(p *Process) int {
	t.DropDescriptors(p)
	p.FDsStale = false
	d := &Descriptors{Known: true, Sockets: make(map[uint64][]int), Heartbeat: -1, charged: t.Owner(p).Account}
	path := t.FS.Path(p.PID, "fd")
	list, err := t.FS.Entries(path, nil)
	if err != nil {
		d.Err = err
		p.Descriptors = d
		return 0
	}
	list, d.Skipped = t.FS.BoundFDs(list)
	if p.Member != nil || p.IsPython() || p.Match != 0 { // not of each process that a search for a listener passes
		t.SkippedFDs += uint64(d.Skipped)
	}
	for _, e := range list {
		link, err := t.FS.FDLink(p.PID, e.N)
		if procfs.Denied(err) { // CAP_DAC_READ_SEARCH alone lists the directory, but reads no link in it
			p.Descriptors = &Descriptors{Known: true, Err: err, Heartbeat: -1, charged: d.charged}
			return 1
		}
		if err != nil {
			continue // closed meanwhile
		}
		if ino, ok := procfs.ParseSocketLink(link); ok {
			t.keepSocket(p, d, ino, e.N)
		} else {
			d.note(link, e.N)
		}
	}
	if d.Heartbeats != 1 { // a fork still holds its siblings' files until it has closed them
		d.Heartbeat = -1
	}
	p.Descriptors = d
	t.keptSockets[d.charged] += len(d.Sockets)
	return len(list)
}

// note records a descriptor that is an epoll set or a heartbeat file. Any other is
// ignored.
func (d *Descriptors) note(link string, fd int) {
	switch {
	case link == "anon_inode:[eventpoll]" && len(d.Polls) < maxPolls:
		d.Polls = append(d.Polls, fd)
	case strings.Contains(link, "/wgunicorn-") && strings.HasSuffix(link, " (deleted)"):
		d.Heartbeat, d.HeartbeatName = fd, link
		d.Heartbeats++
	}
}

// keepSocket records a socket of a process. If its account has too many, only a listening
// one is recorded, and d.Full is set.
func (t *Table) keepSocket(p *Process, d *Descriptors, ino uint64, fd int) {
	bound := maxKeptSockets
	if d.charged == 0 {
		bound *= rootFactor
	}
	if len(d.Sockets)+t.keptSockets[d.charged] < bound || t.Listens != nil && t.Listens(p, ino) {
		d.Sockets[ino] = append(d.Sockets[ino], fd)
	} else {
		d.Full = true
	}
}

// HeldListeners is the listening sockets that a process has open, as of one scan.
type HeldListeners struct {
	Scan uint64 // its number plus 1; 0: none yet
	List []sockdiag.Listener

	Dirty bool // it has a socket of gunicorn's dirty arbiter, which is left out
}

// ReadOnce reads the descriptors of a process if that was never done and its
// account's allowance permits.
func (t *Table) ReadOnce(p *Process) {
	if !p.FDs().Known {
		t.ReadDescriptors(p)
	}
}
