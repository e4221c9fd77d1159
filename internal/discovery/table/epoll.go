package table

import (
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

const (
	// The kernel writes a line of about 80 bytes for each descriptor in an epoll set, all of
	// them before the first can be read. These are charges in links of descriptors, which take
	// as long: for a set, for each bytesPerLink, and for one that is too large.
	epollCost, bytesPerLink, largeEpollCost = 4, 64, 1 << 15
	// largePause is how long no epoll set of a process is read after one that was too large.
	largePause = 30 * time.Second
)

// Watches is what the epoll sets of a process of uWSGI have.
type Watches struct {
	Listeners []uint64 // inodes of listening sockets
	Signals   bool     // with them, another socket that its parent holds too: a master's signals
}

// EpollTargets returns the descriptors in one of the epoll sets of a process, by
// /proc/PID/fdinfo. false: it could not be read, has more than a file under /proc may, or the
// allowance of the account is used up. now is the time of the scan.
func (t *Table) EpollTargets(p *Process, set int, now time.Time) (fds []int, ok bool) {
	a := t.Owner(p).Account
	if now.Sub(p.largeEpoll) < largePause && !now.Before(p.largeEpoll) || !t.Budget.has(a, CostLink) {
		return nil, false
	}
	b, err := t.FS.Read(p.PID, "fdinfo/"+strconv.Itoa(set))
	if len(b) >= procfs.MaxRead {
		t.Budget.Spend(a, CostLink, largeEpollCost)
		p.largeEpoll = now
		return nil, false
	}
	t.Budget.Spend(a, CostLink, epollCost+len(b)/bytesPerLink)
	return procfs.ParseEpollFDs(b), err == nil
}
