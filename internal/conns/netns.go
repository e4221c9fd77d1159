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

// Namespace is one network namespace in which something of interest lives.
type Namespace struct {
	Inode   uint64
	pid     int // a process that lives in it
	conn    *sockdiag.Conn
	Err     error     // why the kernel's socket diagnosis is not to be had here
	retryAt time.Time // when to try again

	Listeners map[uint64]sockdiag.Listener // by inode, as of this refresh
	fresh     []sockdiag.Listener          // those of them that nobody has been looked up for
	seen      map[uint64]bool              // inodes somebody has been looked up for
	account   procfs.Account               // whose process was first seen in it
	used      bool

	lastAccepted *Accepted  // as last asked for
	peers        *peerCache // of sockets that workers wait for; nil: none yet
}

// Namespaces knows the listening sockets of every namespace in use.
type Namespaces struct {
	r    *procfs.FS
	own  uint64
	user procfs.NamespaceID // our user namespace
	nets map[uint64]*Namespace
}

// maxNamespaces bounds the namespaces that are watched at once, and
// maxOthersNamespaces those that were first seen with a process of one account
// other than root's.
const (
	maxNamespaces       = 256
	maxOthersNamespaces = 64
)

func NewNamespaces(r *procfs.FS) *Namespaces {
	s := &Namespaces{r: r, nets: make(map[uint64]*Namespace), user: procfs.OwnUserNS()}
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &st); err == nil {
		s.own = st.Ino
	}
	return s
}

// Get returns the namespace of a process; ino is its inode number, 0 where it is
// not known yet, and owner whose the process is. One whose namespace may not be read is
// taken to live in ours: most do, and a wrong guess finds no socket.
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

// Listens reports whether a socket of a namespace is known to listen.
func (s *Namespaces) Listens(ino, socket uint64) bool {
	n := s.nets[ino]
	if n == nil {
		return false
	}
	_, ok := n.Listeners[socket]
	return ok
}

// Refresh asks for the listening sockets of the namespaces in use, and
// returns those that nobody was looked up for.
func (s *Namespaces) Refresh(ctx context.Context, now time.Time) (news []sockdiag.Listener) {
	for _, n := range s.nets {
		if n.used {
			s.refreshOne(ctx, n, now)
			news = append(news, n.fresh...)
		}
	}
	return news
}

// NewListeners returns the listening sockets that nobody was looked up for.
func (s *Namespaces) NewListeners() (news []sockdiag.Listener) {
	for _, n := range s.nets {
		news = append(news, n.fresh...)
	}
	return news
}

// AcknowledgeNew notes that somebody was looked up for the new listening sockets.
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

// refreshOne asks the kernel for the listening sockets of one namespace: by
// sock_diag, else from /proc/PID/net, which has the queue of TCP only and no
// limits. It notes the sockets that nobody was looked up for.
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

// open makes sure that there is a way to ask the kernel about a namespace.
func (s *Namespaces) open(n *Namespace, now time.Time) error {
	if n.conn != nil {
		return nil
	}
	if now.Before(n.retryAt) || s.nets[n.Inode] != n { // one over the bound is nobody's to close
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

// readNetFiles reads what /proc/PID/net tells.
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

// Sweep closes the namespaces that nobody lived in since the last sweep.
func (s *Namespaces) Sweep() {
	for ino, n := range s.nets {
		if !n.used && ino != s.own {
			s.drop(n)
			continue
		}
		n.used = false
	}
}

func (s *Namespaces) drop(n *Namespace) {
	if n.conn != nil {
		n.conn.Close()
	}
	delete(s.nets, n.Inode)
}

// Close frees everything.
func (s *Namespaces) Close() {
	for _, n := range s.nets {
		s.drop(n)
	}
}
