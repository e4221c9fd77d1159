// Package conns relates sockets to what they are connected to and to the
// processes that hold them, in each network namespace in which a watched process
// runs. The sources are sock_diag(7) and, where that is refused, /proc/PID/net.
package conns

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// Namespace is one network namespace in which a watched process runs. Its sockets
// are valid under the lock of who owns the [Namespaces].
type Namespace struct {
	Inode   uint64
	pid     int // a process in it
	conn    *sockdiag.Conn
	Err     error     // why the kernel's socket diagnosis is not to be had here
	retryAt time.Time // no attempt before

	Listeners map[uint64]sockdiag.Listener // by inode, as of this refresh
	fresh     []sockdiag.Listener          // those whose holders were not looked for
	seen      map[uint64]bool              // inodes of those whose holders were looked for
	account   procfs.Account               // of the first process that was seen in it
	used      bool

	lastAccepted *Accepted  // the last answer
	peers        *peerCache // the other ends of sockets that workers wait for; nil: none yet
}

// Namespaces holds the listening sockets of every network namespace in use. It
// must not be used by two goroutines at once.
type Namespaces struct {
	r    *procfs.FS
	own  uint64
	user procfs.NamespaceID // the exporter's user namespace
	nets map[uint64]*Namespace
}

// maxNamespaces is how many namespaces are held at once, and maxOthersNamespaces
// how many of those that were first seen with a process of one account other than
// root's.
const (
	maxNamespaces       = 256
	maxOthersNamespaces = 64
)

// NewNamespaces returns Namespaces that read /proc by r. It opens no socket.
func NewNamespaces(r *procfs.FS) *Namespaces {
	s := &Namespaces{r: r, nets: make(map[uint64]*Namespace), user: procfs.OwnUserNS()}
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &st); err == nil {
		s.own = st.Ino
	}
	return s
}

// Get returns the namespace of a process and marks it as used until the next
// [Namespaces.Sweep]. ino is its inode number, 0 if it is not known; owner is the owner
// of the process. For a namespace that may not be read it returns the exporter's own:
// most processes are in it, and a wrong guess finds no socket. Beyond 256 namespaces, or
// 64 of one account other than root's, it returns one without sockets.
func (s *Namespaces) Get(pid int, ino uint64, owner procfs.Account) *Namespace {
	if ino == 0 {
		ino = s.own
		var st unix.Stat_t
		if err := unix.Stat(s.r.Path(pid, "ns/net"), &st); err == nil {
			ino = st.Ino
		}
	}
	n := s.nets[ino]
	if n == nil {
		if ino != s.own && (len(s.nets) >= maxNamespaces || owner != 0 && s.count(owner) >= maxOthersNamespaces) {
			return &Namespace{Inode: ino, Err: errors.New("too many network namespaces")}
		}
		n = &Namespace{Inode: ino, pid: pid, seen: make(map[uint64]bool), account: owner}
		s.nets[ino] = n
	}
	n.pid, n.used = pid, true
	return n
}

// GetOwn returns the exporter's own namespace; pid is a process in it.
func (s *Namespaces) GetOwn(pid int) *Namespace { return s.Get(pid, s.own, 0) }

// Listens reports whether a socket of a namespace was listening at the last refresh; both
// are inode numbers. False also for a namespace that is not known.
func (s *Namespaces) Listens(ino, socket uint64) bool {
	n := s.nets[ino]
	if n == nil {
		return false
	}
	_, ok := n.Listeners[socket]
	return ok
}

// Refresh lists the listening sockets of the namespaces in use and returns the
// new ones: those that [Namespaces.AcknowledgeNew] was not called for.
func (s *Namespaces) Refresh(ctx context.Context, now time.Time) (news []sockdiag.Listener) {
	for _, n := range s.nets {
		if n.used {
			s.refreshOne(ctx, n, now)
			news = append(news, n.fresh...)
		}
	}
	return news
}

// NewListeners returns the listening sockets of all namespaces that are kept, in no order,
// that were new at the last refresh of each: [Namespaces.AcknowledgeNew] was not called for
// them before it.
func (s *Namespaces) NewListeners() (news []sockdiag.Listener) {
	for _, n := range s.nets {
		news = append(news, n.fresh...)
	}
	return news
}

// AcknowledgeNew marks the new listening sockets as seen, once their holders were looked
// for: they are not returned as new again.
func (s *Namespaces) AcknowledgeNew() {
	for _, n := range s.nets {
		for _, l := range n.fresh {
			n.seen[l.Inode] = true
		}
	}
}

// count returns how many namespaces were first seen with a process of an account.
func (s *Namespaces) count(a procfs.Account) (n int) {
	for _, ns := range s.nets {
		if ns.account == a {
			n++
		}
	}
	return n
}

// refreshOne sets the listening sockets of one namespace: by sock_diag or, without limits
// and with the queues of TCP only, from /proc/PID/net. Why sock_diag fails is in n.Err.
func (s *Namespaces) refreshOne(ctx context.Context, n *Namespace, now time.Time) {
	list, err := s.queryListeners(ctx, n, now)
	if err != nil {
		n.Err = err
		list = s.readNetFiles(n)
	}
	n.fresh = nil
	n.Listeners = make(map[uint64]sockdiag.Listener, len(list))
	for _, l := range list {
		if l.Inode == 0 {
			continue
		}
		n.Listeners[l.Inode] = l
		if !n.seen[l.Inode] {
			n.fresh = append(n.fresh, l)
		}
	}
	for ino := range n.seen {
		if _, ok := n.Listeners[ino]; !ok {
			delete(n.seen, ino)
		}
	}
}

// queryListeners returns the listening sockets of a namespace by sock_diag. If some were
// listed, an error of the rest is dropped.
func (s *Namespaces) queryListeners(ctx context.Context, n *Namespace, now time.Time) ([]sockdiag.Listener, error) {
	if err := s.open(n, now); err != nil {
		return nil, err
	}
	list, err := n.conn.Listeners(ctx)
	if err != nil && len(list) == 0 {
		return nil, err
	}
	n.Err = nil
	return list, nil
}

// open opens a sock_diag socket in a namespace, unless it is open. After a failure it
// tries again after a minute, and returns the last error until then. One beyond the bounds of
// [Namespaces.Get] is never opened.
func (s *Namespaces) open(n *Namespace, now time.Time) error {
	if n.conn != nil {
		return nil
	}
	if now.Before(n.retryAt) || s.nets[n.Inode] != n { // one beyond the bound would never be closed
		return n.Err
	}
	conn, err := s.dial(n)
	if err != nil {
		n.Err, n.retryAt = err, now.Add(time.Minute)
		return err
	}
	n.conn, n.Err = conn, nil
	return nil
}

// dial returns a sock_diag connection in a namespace, which the caller closes. Outside of
// the exporter's own namespace it takes CAP_SYS_ADMIN.
func (s *Namespaces) dial(n *Namespace) (*sockdiag.Conn, error) {
	if n.Inode == s.own {
		return sockdiag.Dial(0)
	}
	fd, err := s.enter(n)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }()
	return sockdiag.Dial(fd)
}

// readNetFiles returns the listening sockets in /proc/PID/net/tcp, tcp6 and unix,
// as far as these can be read.
func (s *Namespaces) readNetFiles(n *Namespace) []sockdiag.Listener {
	var all []sockdiag.Listener
	for name, parse := range map[string]func(*os.File) ([]sockdiag.Listener, error){
		"net/tcp":  func(f *os.File) ([]sockdiag.Listener, error) { return sockdiag.ParseProcNetTCP(f) },
		"net/tcp6": func(f *os.File) ([]sockdiag.Listener, error) { return sockdiag.ParseProcNetTCP(f) },
		"net/unix": func(f *os.File) ([]sockdiag.Listener, error) { return sockdiag.ParseProcNetUnix(f) },
	} {
		f, err := os.Open(s.r.Path(n.pid, name))
		if err != nil {
			continue
		}
		list, _ := parse(f) // what was read until an error counts
		f.Close()
		all = append(all, list...)
	}
	return all
}

// Sweep closes the namespaces that were not used since the last sweep, except the
// exporter's own.
func (s *Namespaces) Sweep() {
	for ino, n := range s.nets {
		if !n.used && ino != s.own {
			s.drop(n)
			continue
		}
		n.used = false
	}
}

// drop closes a namespace and removes it from the list.
func (s *Namespaces) drop(n *Namespace) {
	if n.conn != nil {
		n.conn.Close()
	}
	delete(s.nets, n.Inode)
}

// Close closes all namespaces.
func (s *Namespaces) Close() {
	for _, n := range s.nets {
		s.drop(n)
	}
}
