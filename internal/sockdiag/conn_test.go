package sockdiag_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

const backlog = 3

// listen opens a raw listening socket with the test's backlog, which
// net.Listen does not let one choose, and returns its address and inode.
func listen(t testing.TB, family int, at unix.Sockaddr) (unix.Sockaddr, uint64) {
	t.Helper()
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, at); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, backlog); err != nil {
		t.Fatal(err)
	}
	addr, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		t.Fatal(err)
	}
	return addr, st.Ino
}

// fill connects n times without waiting: connections above the backlog hang or are
// refused.
func fill(t testing.TB, family int, to unix.Sockaddr, n int) {
	t.Helper()
	for range n {
		fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
		err = unix.Connect(fd, to)
		if err != nil && !errors.Is(err, unix.EINPROGRESS) && !errors.Is(err, unix.EAGAIN) {
			t.Fatal(err)
		}
	}
}

func dial(t testing.TB, fd int) *sockdiag.Conn {
	t.Helper()
	c, err := sockdiag.Dial(fd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func find(ls []sockdiag.Listener, inode uint64) (sockdiag.Listener, bool) {
	for _, l := range ls {
		if l.Inode == inode {
			return l, true
		}
	}
	return sockdiag.Listener{}, false
}

// await queries until the listener's queue has that length: a handshake on loopback ends
// in a softirq, soon but not at once.
func await(t testing.TB, c *sockdiag.Conn, inode uint64, want uint32) sockdiag.Listener {
	t.Helper()
	var last sockdiag.Listener
	for range 4000 {
		ls, err := c.Listeners(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		l, ok := find(ls, inode)
		if !ok {
			t.Fatalf("no listener with inode %d in %+v", inode, ls)
		}
		if last = l; l.Queue >= want {
			return l
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("queue stayed at %d, want %d: %+v", last.Queue, want, last)
	return last
}

type endpoint struct {
	name, network string
	family        int
	at            unix.Sockaddr
	label         func(unix.Sockaddr) string
}

func endpoints(dir string) []endpoint {
	path := filepath.Join(dir, "with blank.sock")
	abstract := fmt.Sprintf("@resp-test-%d-%s", os.Getpid(), filepath.Base(dir))
	v4 := func(host string) func(unix.Sockaddr) string {
		return func(a unix.Sockaddr) string { return host + ":" + strconv.Itoa(a.(*unix.SockaddrInet4).Port) }
	}
	v6 := func(host string) func(unix.Sockaddr) string {
		return func(a unix.Sockaddr) string { return host + ":" + strconv.Itoa(a.(*unix.SockaddrInet6).Port) }
	}
	fixed := func(s string) func(unix.Sockaddr) string { return func(unix.Sockaddr) string { return s } }
	mapped := [16]byte{10: 0xff, 11: 0xff, 12: 127, 15: 1}
	return []endpoint{
		{"v4", sockdiag.TCP, unix.AF_INET, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}, v4("127.0.0.1")},
		{"v4 any", sockdiag.TCP, unix.AF_INET, &unix.SockaddrInet4{}, v4("")},
		{"v6", sockdiag.TCP6, unix.AF_INET6, &unix.SockaddrInet6{Addr: [16]byte{15: 1}}, v6("[::1]")},
		{"v6 any", sockdiag.TCP6, unix.AF_INET6, &unix.SockaddrInet6{}, v6("")},
		{"v4 in v6", sockdiag.TCP6, unix.AF_INET6, &unix.SockaddrInet6{Addr: mapped}, v6("127.0.0.1")},
		{"path", sockdiag.Unix, unix.AF_UNIX, &unix.SockaddrUnix{Name: path}, fixed("unix:" + path)},
		{"abstract", sockdiag.Unix, unix.AF_UNIX, &unix.SockaddrUnix{Name: abstract}, fixed("unix:" + abstract)},
	}
}

func TestListenersSeeTheirQueues(t *testing.T) {
	c := dial(t, 0)
	for _, p := range endpoints(t.TempDir()) {
		t.Run(p.name, func(t *testing.T) { checkEndpoint(t, c, p) })
	}
}

// checkEndpoint listens, overfills the queue and compares what the kernel reports.
func checkEndpoint(t *testing.T, c *sockdiag.Conn, p endpoint) {
	t.Helper()
	addr, inode := listen(t, p.family, p.at)
	if l := await(t, c, inode, 0); l.Queue != 0 || l.Limit != backlog || !l.HasQueue || !l.HasLimit {
		t.Errorf("empty: %+v", l)
	}
	fill(t, p.family, addr, 1)
	if l := await(t, c, inode, 1); l.Queue != 1 {
		t.Errorf("one waits: %+v", l)
	}
	fill(t, p.family, addr, backlog+4)
	l := await(t, c, inode, backlog)
	if l.Queue != backlog && l.Queue != backlog+1 {
		t.Errorf("full queue is %d, want %d or one more", l.Queue, backlog)
	}
	if l.Network != p.network || l.UID != uint32(os.Getuid()) {
		t.Errorf("network %q uid %d, want %q and our own", l.Network, l.UID, p.network)
	}
	if got, want := sockdiag.Label(l), p.label(addr); got != want {
		t.Errorf("label %q, want %q", got, want)
	}
}

// inNewNamespace runs fn on a thread with a network of its own, with loopback
// up, and passes a descriptor of that network. Without the right to create one
// it returns EPERM.
func inNewNamespace(fn func(fd int)) error {
	result := make(chan error, 1)
	go func() {
		// fn may end the goroutine by t.Fatal.
		err := errors.New("the check inside the namespace gave up")
		defer func() { result <- err }()
		// Never unlocked: the runtime ends the thread with the goroutine, so
		// that no other goroutine lands in this network.
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			// The process's first thread cannot end and is what /proc/self shows:
			// hold it while another thread does the work.
			defer runtime.UnlockOSThread()
			err = inNewNamespace(fn)
			return
		}
		err = func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("unshare: %w", err)
			}
			if err := loopbackUp(); err != nil {
				return err
			}
			ns, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
			if err != nil {
				return err
			}
			defer func() { _ = ns.Close() }()
			fn(int(ns.Fd()))
			return nil
		}()
	}()
	return <-result
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req)
}

func TestOtherNetworkNamespace(t *testing.T) {
	dir := t.TempDir()
	own := dial(t, 0)
	err := inNewNamespace(func(fd int) {
		c, err := sockdiag.Dial(fd)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = c.Close() }()
		for _, p := range endpoints(dir)[:2] {
			t.Logf("%s", p.name)
			checkEndpoint(t, c, p)
		}
		addr, inode := listen(t, unix.AF_UNIX, &unix.SockaddrUnix{Name: filepath.Join(dir, "ns.sock")})
		fill(t, unix.AF_UNIX, addr, 2)
		if l := await(t, c, inode, 2); l.Queue != 2 || l.Limit != backlog {
			t.Errorf("unix in another network: %+v", l)
		}
		ls, err := own.Listeners(context.Background())
		if _, ok := find(ls, inode); ok || err != nil {
			t.Errorf("our own network shows the other's listener (err %v)", err)
		}
		// It must find its way back to the same network after a failure.
		failOnce(t, c)
		if l := await(t, c, inode, 2); l.Queue != 2 {
			t.Errorf("after redial: %+v", l)
		}
	})
	switch {
	case errors.Is(err, unix.EPERM):
		refusedDial(t)
	case err != nil:
		t.Fatal(err)
	}
}

// refusedDial checks that a user without the right to create a network namespace cannot
// enter one either.
func refusedDial(t *testing.T) {
	t.Helper()
	ns, err := os.Open("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ns.Close() }()
	if _, err := sockdiag.Dial(int(ns.Fd())); !errors.Is(err, unix.EPERM) {
		t.Errorf("Dial into a namespace without the right: %v, want EPERM", err)
	}
}

func failOnce(t *testing.T, c *sockdiag.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := c.FailNext(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a read with no answer: %v, want the end of the deadline", err)
	}
}

func TestDialRefusesABadDescriptor(t *testing.T) {
	if _, err := sockdiag.Dial(1 << 20); !errors.Is(err, unix.EBADF) {
		t.Errorf("got %v, want EBADF", err)
	}
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := sockdiag.Dial(int(f.Fd())); err == nil {
		t.Error("a descriptor of no namespace was taken")
	}
}

func TestRedialAfterTimeout(t *testing.T) {
	c := dial(t, 0)
	_, inode := listen(t, unix.AF_INET, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	for range 3 {
		failOnce(t, c)
		await(t, c, inode, 0)
	}
}

func TestContextEndsTheWaitForATurn(t *testing.T) {
	c := dial(t, 0)
	release, err := c.HoldLock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.Listeners(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while another asks: %v, want the end of the deadline", err)
	}
	release()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Listeners(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled before: %v, want Canceled", err)
	}
	if _, err := c.Listeners(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestSideBySide(t *testing.T) {
	c := dial(t, 0)
	_, inode := listen(t, unix.AF_UNIX, &unix.SockaddrUnix{Name: filepath.Join(t.TempDir(), "s")})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				ls, err := c.Listeners(t.Context())
				if _, ok := find(ls, inode); !ok || err != nil {
					t.Errorf("missing (err %v)", err)
				}
			}
		})
	}
	wg.Wait()
}

func TestClosed(t *testing.T) {
	c, err := sockdiag.Dial(0)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.Listeners(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want net.ErrClosed", err)
	}
	if _, err := c.UDP(t.Context(), 0); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want net.ErrClosed", err)
	}
}

func BenchmarkListeners(b *testing.B) {
	c := dial(b, 0)
	_, inode := listen(b, unix.AF_INET, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	b.ReportAllocs()
	for b.Loop() {
		ls, err := c.Listeners(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if _, ok := find(ls, inode); !ok {
			b.Fatal("the listener is missing")
		}
	}
}
