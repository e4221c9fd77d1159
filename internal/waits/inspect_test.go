package waits_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
	"github.com/resp-exporter/resp-exporter/internal/waits"
)

// self returns this process as a worker that listens on a socket, and the
// socket's descriptor.
func self(t *testing.T, tab *table.Table) (*table.Process, sockdiag.Listener, int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	name := fmt.Sprintf("@waits-%d-%d", os.Getpid(), time.Now().UnixNano())
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: name}), unix.Listen(fd, 1)); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		t.Fatal(err)
	}
	stat, err := procfs.New("/proc").Read(os.Getpid(), "stat")
	if err != nil {
		t.Fatal(err)
	}
	p := &table.Process{PID: os.Getpid(), UID: uint32(os.Geteuid())}
	if p.Stat, err = procfs.ParseStat(stat); err != nil {
		t.Fatal(err)
	}
	p.Start = p.Stat.Start
	tab.Budget.Begin(true)
	if !tab.ReadDescriptors(p) || p.FDs().Err != nil {
		t.Fatal("the descriptors were not read", p.FDs().Err)
	}
	return p, sockdiag.Listener{Network: sockdiag.Unix, Inode: st.Ino}, fd
}

// This process is idle while one of its threads waits for a connection, for any state of
// its other threads.
func TestInspectSelf(t *testing.T) {
	fs := procfs.New("/proc")
	tab := table.New(fs)
	nets := conns.NewNamespaces(fs)
	defer nets.Close()
	i := waits.New(discovery.Parts{Table: tab, Namespaces: nets, Connections: conns.NewSampler("/proc", time.Hour, slog.New(slog.DiscardHandler))})
	p, l, fd := self(t, tab)
	accepts := make(chan error)
	go func() {
		runtime.LockOSThread()
		conn, _, err := unix.Accept(fd)
		_ = unix.Close(conn)
		accepts <- err
	}()
	own := nets.GetOwn(p.PID)
	if nets.Refresh(t.Context(), time.Now()); own.Err != nil {
		t.Fatal("sock_diag:", own.Err)
	}
	a := &discovery.InspectedApp{Name: "self", Server: cmdline.Waitress, Listeners: []sockdiag.Listener{l}, Namespace: own}
	in := &discovery.Inspected{App: a, Process: p, Stuck: time.Minute}
	inspect := func() (w discovery.Worker) {
		t.Helper()
		tab.Budget.Begin(true)
		in.Now = time.Now()
		in.Scan.Number++
		if err := i.Inspect(t.Context(), in, &w); err != nil {
			t.Fatal(err)
		}
		i.Finish(t.Context(), in.Scan)
		return w
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if !tab.RereadStat(p) {
			t.Fatal("its stat cannot be read")
		}
		w := inspect()
		if w.State == discovery.Idle && w.Detail != "" && w.Requests == 0 && w.Wait == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("it is not idle: %+v", w)
		}
	}
	if in.Tracker == nil || in.Tracker.Unready() {
		t.Errorf("it is not ready: %+v", in.Tracker)
	}
	in.Scan.Number++
	if state, err := i.State(t.Context(), in); err != nil || state != discovery.Idle {
		t.Errorf("without a slot: %q, %v", state, err)
	}
	if err := unix.Shutdown(fd, unix.SHUT_RDWR); err != nil {
		t.Fatal(err)
	}
	if err := <-accepts; !errors.Is(err, unix.EINVAL) {
		t.Errorf("accept on a socket that was shut down: %v, want EINVAL", err)
	}
}

// What cannot be inspected is of an unknown state, with the reason.
func TestInspectFails(t *testing.T) {
	t.Parallel()
	fs := procfs.New("/proc")
	tab := table.New(fs)
	i := waits.New(discovery.Parts{Table: tab, Namespaces: conns.NewNamespaces(fs)})
	gone := &table.Process{PID: 1<<22 + 1}
	in := &discovery.Inspected{App: &discovery.InspectedApp{Owner: 7}, Process: gone, Now: time.Now()}
	var w discovery.Worker
	if err := i.Inspect(t.Context(), in, &w); !procfs.Gone(err) {
		t.Errorf("one that has ended: %v", err)
	}
	if _, err := i.State(t.Context(), in); !procfs.Gone(err) {
		t.Errorf("one that has ended, without a slot: %v", err)
	}
	tab.Budget.Begin(false)
	tab.Budget.Spend(7, table.CostThread, 1<<20)
	if err := i.Inspect(t.Context(), in, &w); !errors.Is(err, discovery.ErrAllowance) || w.State != discovery.StateUnknown {
		t.Errorf("without an allowance: %v, %q", err, w.State)
	}
	in.Scan.Number++
	if state, err := i.State(t.Context(), in); !errors.Is(err, discovery.ErrAllowance) || state != discovery.StateUnknown {
		t.Errorf("without an allowance or a slot: %v, %q", err, state)
	}
}
