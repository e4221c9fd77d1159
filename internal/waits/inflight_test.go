package waits

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// TestRequestsInHand counts the connections of a worker that has a listener on
// descriptor 3 and others from 10 on.
func TestRequestsInHand(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	asked := sockdiag.Accepted{HasTimes: true, Received: 4 * time.Second, Sent: time.Minute}
	first := sockdiag.Accepted{HasTimes: true, Received: 4 * time.Second, Sent: 4 * time.Second, Unsent: true}
	answered := sockdiag.Accepted{HasTimes: true, Received: time.Minute, Sent: 4 * time.Second}
	silent := sockdiag.Accepted{HasTimes: true, Silent: true, Received: time.Minute, Sent: time.Minute}
	accepts := thread{accepts: true, call: procfs.Syscall{NR: unix.SYS_ACCEPT4, Args: [6]uint64{3}}}
	works := thread{call: procfs.Syscall{NR: unix.SYS_FUTEX}, since: now.Add(-time.Minute)}
	reads := thread{call: procfs.Syscall{NR: unix.SYS_RECVFROM, Args: [6]uint64{10}}, since: now.Add(-time.Minute)}
	for name, c := range map[string]struct {
		main, other thread
		socket      sockdiag.Accepted
		seen        time.Duration // in hand since
		n           int
		age         time.Duration
	}{
		"a request":                             {accepts, works, asked, time.Minute, 1, 4 * time.Second},
		"the first of its connection":           {accepts, works, first, time.Minute, 1, 4 * time.Second},
		"one that was not in hand a moment ago": {accepts, works, asked, 0, 1, 0},
		"an answer that is being sent":          {accepts, works, answered, time.Minute, 1, 0},
		"a connection that waits for a request": {accepts, reads, answered, time.Minute, 0, 0},
		"a connection without a request":        {accepts, works, silent, time.Minute, 0, 0},
		"a UNIX socket":                         {accepts, works, sockdiag.Accepted{}, time.Hour, 1, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &table.Process{PID: 1 << 30, Descriptors: &table.Descriptors{Sockets: map[uint64][]int{7: {10}, 8: {11}}}}
			s := tracker{sockets: map[uint64]socketKind{7: socketAccepted, 8: socketOther}, inflight: map[uint64]time.Time{7: now.Add(-c.seen)}}
			l := sample{main: c.main, others: []thread{c.other}, busyThreads: 1, longestCall: now.Sub(c.other.since)}
			caller := &threadReader{table: table.New(procfs.New("/proc")), calls: procfs.NewSyscallReader(procfs.New("/proc"))}
			caller.countInflight(p, &s, &l, &conns.Accepted{ByInode: map[uint64]sockdiag.Accepted{7: c.socket}}, now)
			if l.inflight.n != c.n || l.inflight.age != c.age {
				t.Errorf("%d in hand for %s, want %d for %s", l.inflight.n, l.inflight.age, c.n, c.age)
			}
			if _, kept := s.inflight[7]; kept != (c.n > 0) {
				t.Errorf("kept: %v", kept)
			}
		})
	}
}

// Requests that wait in a worker for a thread prove nothing of its threads: the
// worker is as old in its request as the thread that is longest in one call.
func TestRequestsWaitForThreads(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	p := &table.Process{PID: 1 << 30, Descriptors: &table.Descriptors{Sockets: map[uint64][]int{}}}
	s := tracker{sockets: map[uint64]socketKind{}, inflight: map[uint64]time.Time{}}
	found := &conns.Accepted{ByInode: map[uint64]sockdiag.Accepted{}}
	for ino := uint64(1); ino <= 5; ino++ {
		p.FDs().Sockets[ino], s.sockets[ino], s.inflight[ino] = []int{int(ino) + 10}, socketAccepted, now.Add(-time.Hour)
		found.ByInode[ino] = sockdiag.Accepted{HasTimes: true, Unsent: true, Received: 20 * time.Second, Sent: 20 * time.Second}
	}
	for working, want := range map[int]time.Duration{2: time.Second, 5: 20 * time.Second} {
		l := sample{main: thread{accepts: true}, busyThreads: working, longestCall: time.Second}
		(&threadReader{table: table.New(procfs.New("/proc")), calls: procfs.NewSyscallReader(procfs.New("/proc"))}).countInflight(p, &s, &l, found, now)
		if l.inflight.n != 5 || l.inflight.age != want {
			t.Errorf("%d threads: %d in hand for %s, want %s", working, l.inflight.n, l.inflight.age, want)
		}
	}
}

// A socket that the kernel lists is a connection for as long as it is open; one
// that it does not list is none, if it was there before the list was made.
func TestSortSockets(t *testing.T) {
	t.Parallel()
	p := &table.Process{Descriptors: &table.Descriptors{Sockets: map[uint64][]int{1: {5}, 2: {6}, 3: {7}}}}
	var s tracker
	found := &conns.Accepted{Fresh: true, ByInode: map[uint64]sockdiag.Accepted{1: {}}, Listening: map[uint64]bool{2: true}}
	var h inflight
	if s.classifySockets(p, found, &h); s.sockets[1] != socketAccepted || s.sockets[2] != socketOther || s.sockets[3] != socketUnknown || !h.unsorted {
		t.Errorf("first: %v, %+v", s.sockets, h)
	}
	if p.FDs().Sockets[4] = []int{8}; !s.hasUnlisted(p, found) {
		t.Error("socket 4 is in no list")
	}
	if delete(p.FDs().Sockets, 4); !s.hasUnlisted(p, found) {
		t.Error("socket 3 is not settled")
	}
	found.ByInode, h = nil, inflight{} // the client was gone: reset
	if s.classifySockets(p, found, &h); s.sockets[1] != socketAccepted || s.sockets[3] != socketOther || h.unsorted {
		t.Errorf("second: %v, %+v", s.sockets, h)
	}
	if s.hasUnlisted(p, found) {
		t.Error("all is settled")
	}
	delete(p.FDs().Sockets, 1)
	if s.hasConnections(p) || len(s.sockets) != 2 {
		t.Errorf("closed: %v", s.sockets)
	}
}
