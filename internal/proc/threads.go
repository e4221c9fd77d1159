package proc

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// task is what is kept of one thread from look to look.
type task struct {
	slices uint64    // how often it has been put on a processor
	since  time.Time // of the first look at which that was so
	at     time.Time // of the last look
	marks  [2]mark   // of looks that are a second apart or more, the older first
}

// mark is how long a thread had run, or been ready to run, at one look.
type mark struct {
	at   time.Time
	busy time.Duration
}

// markPause is the shortest time between two marks.
const markPause = time.Second

// share returns the part of the time since the older mark that the thread has
// run or been ready to run; 0 before there are two marks.
func (k *task) share(now time.Time, busy time.Duration) (share float64) {
	if k.marks[1].at.IsZero() || now.Sub(k.marks[1].at) >= markPause {
		k.marks[0], k.marks[1] = k.marks[1], mark{now, busy}
	}
	if old := k.marks[0]; !old.at.IsZero() {
		share = max(0, (busy-old.busy).Seconds()/now.Sub(old.at).Seconds())
	}
	return share
}

// thread is one thread of a worker in one look.
type thread struct {
	tid   int
	call  call
	since time.Time // it has been in this call since that look, at least
	share float64   // of the time lately that it has run or been ready to run
	waits bool      // for a connection
	rests bool      // it has been in this call since before the worker was last idle
}

// loads reports whether the thread runs or reads files, as an import does.
func (k *thread) loads() bool {
	return k.call.nr == -1 || slices.Contains([]int{unix.SYS_READ, unix.SYS_PREAD64, unix.SYS_OPENAT, unix.SYS_GETDENTS64, unix.SYS_MMAP}, k.call.nr)
}

// maxThreads bounds the threads looked at in one worker.
const maxThreads = 64

// caller reads what threads are doing.
type caller struct {
	t       *table
	scratch [8192]byte
	others  []thread // of the worker that is being looked at
}

// look looks at the threads of one worker. Where the main thread's call proves
// that a worker has a request in hand, or none, the others are not read.
func (c *caller) look(p *process, s *stateTracker, server Server, listening []int, now time.Time) (look, error) {
	l := look{server: server}
	var err error
	if l.main, err = c.thread(p, s, p.pid, now); err != nil {
		return look{}, err
	}
	l.ok = true
	l.main.waits = c.waitsForConnection(p, l.main.call, listening)
	if l.main.waits && server == Gunicorn && (l.main.call.nr == sysSelect || l.main.call.nr == unix.SYS_PSELECT6) {
		s.sync = true // the other workers of gunicorn poll
	}
	if p.stat.threads > 1 && !s.sync {
		c.readOthers(p, s, now)
		l.others = c.others
	}
	c.settle(p, s, &l, listening, now)
	return l, nil
}

// settle sets which threads wait for a connection, which rest, and what the
// others have in common. It is called again when the descriptors under which
// the listeners are held have changed.
func (c *caller) settle(p *process, s *stateTracker, l *look, listening []int, now time.Time) {
	l.working, l.asleep = 0, 0
	one := func(k *thread) {
		k.waits = c.waitsForConnection(p, k.call, listening)
		k.rests = !k.waits && !k.call.running && !s.idleAt.IsZero() && !k.since.After(s.idleAt)
		if !k.waits && !k.rests {
			l.working++
			l.asleep = max(l.asleep, now.Sub(k.since))
		}
	}
	one(&l.main)
	for i := range l.others {
		one(&l.others[i])
	}
}

// thread reads one thread.
func (c *caller) thread(p *process, s *stateTracker, tid int, now time.Time) (thread, error) {
	dir := ""
	if tid != p.pid {
		dir = "task/" + itoa(tid) + "/"
	}
	b, err := c.t.r.pid(p.pid, dir+"syscall")
	if err != nil {
		return thread{}, err
	}
	k := thread{tid: tid}
	if k.call, err = parseSyscall(b); err != nil {
		return thread{}, err
	}
	var runs uint64
	var busy time.Duration
	if b, err := c.t.r.pid(p.pid, dir+"schedstat"); err == nil {
		busy, runs, _ = parseSchedstat(b)
	}
	before, seen := s.tasks[tid]
	k.since = before.since
	if !seen || k.call.running || before.slices != runs {
		k.since = now
	}
	if s.tasks == nil {
		s.tasks = make(map[int]task)
	}
	k.share = before.share(now, busy)
	s.tasks[tid] = task{slices: runs, since: k.since, at: now, marks: before.marks}
	return k, nil
}

// readOthers reads the threads beside the main one, and forgets those that ended.
func (c *caller) readOthers(p *process, s *stateTracker, now time.Time) {
	c.others = c.others[:0]
	list, err := c.t.r.entries(c.t.r.path(p.pid, "task"), c.t.list[:0:0])
	if err != nil {
		return
	}
	for _, e := range list[:min(len(list), maxThreads)] {
		if e.n == p.pid {
			continue
		}
		if k, err := c.thread(p, s, e.n, now); err == nil {
			c.others = append(c.others, k)
		}
	}
	for tid, t := range s.tasks {
		if t.at != now {
			delete(s.tasks, tid)
		}
	}
}

// waitsForConnection reports whether a call waits on a listening socket: accept
// itself, or a poll, select or epoll whose set has it. The sets of poll and
// select are in the process' memory.
func (c *caller) waitsForConnection(p *process, k call, listening []int) bool {
	switch k.nr {
	case sysAccept, unix.SYS_ACCEPT4:
		return slices.Contains(listening, int(int32(k.args[0])))
	case sysEpollWait, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2:
		b, err := c.t.r.pid(p.pid, "fdinfo/"+itoa(int(int32(k.args[0]))))
		return err == nil && slices.ContainsFunc(parseTargets(b), func(fd int) bool { return slices.Contains(listening, fd) })
	case sysPoll, unix.SYS_PPOLL:
		n := min(int(k.args[1]), len(c.scratch)/8)
		return n > 0 && c.memory(p.pid, k.args[0], c.scratch[:n*8]) && pollHas(c.scratch[:n*8], listening)
	case sysSelect, unix.SYS_PSELECT6:
		n := min((int(k.args[0])+63)/64*8, len(c.scratch))
		return n > 0 && c.memory(p.pid, k.args[1], c.scratch[:n]) && selectHas(c.scratch[:n], listening)
	}
	return false
}

// memory copies from another process without stopping it (process_vm_readv(2)).
func (c *caller) memory(pid int, addr uint64, into []byte) bool {
	if addr == 0 {
		return false
	}
	local := []unix.Iovec{{Base: &into[0]}}
	local[0].SetLen(len(into))
	n, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: uintptr(addr), Len: len(into)}}, 0)
	return err == nil && n == len(into)
}

// pollHas reads an array of struct pollfd: descriptor (4 bytes), events (2),
// returned events (2).
func pollHas(b []byte, fds []int) bool {
	for ; len(b) >= 8; b = b[8:] {
		if slices.Contains(fds, int(int32(binary.NativeEndian.Uint32(b)))) {
			return true
		}
	}
	return false
}

// selectHas reads an fd_set: one bit a descriptor, in words of 64.
func selectHas(b []byte, fds []int) bool {
	for _, fd := range fds {
		if fd >= 0 && fd/64*8+8 <= len(b) && binary.NativeEndian.Uint64(b[fd/64*8:])>>(fd%64)&1 == 1 {
			return true
		}
	}
	return false
}

// watched returns the descriptors that a call waits to read from, of a poll, a
// select or an epoll; at most 1,024.
func (c *caller) watched(p *process, k call) []int {
	switch k.nr {
	case sysEpollWait, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2:
		return c.targets(p, int(int32(k.args[0])))
	case sysPoll, unix.SYS_PPOLL:
		n := min(int(k.args[1]), len(c.scratch)/8)
		if n > 0 && c.memory(p.pid, k.args[0], c.scratch[:n*8]) {
			return polled(c.scratch[:n*8])
		}
	case sysSelect, unix.SYS_PSELECT6:
		n := min((int(k.args[0])+63)/64*8, len(c.scratch)/64)
		if n > 0 && c.memory(p.pid, k.args[1], c.scratch[:n]) {
			return selected(c.scratch[:n])
		}
	}
	return nil
}

// polled returns the descriptors of an array of struct pollfd that wait for input.
func polled(b []byte) []int {
	fds := make([]int, 0, len(b)/8)
	for ; len(b) >= 8; b = b[8:] {
		if binary.NativeEndian.Uint16(b[4:])&unix.POLLIN != 0 {
			fds = append(fds, int(int32(binary.NativeEndian.Uint32(b))))
		}
	}
	return fds
}

// selected returns the descriptors of an fd_set.
func selected(b []byte) []int {
	var fds []int
	for at := 0; at+8 <= len(b); at += 8 {
		for word := binary.NativeEndian.Uint64(b[at:]); word != 0; word &= word - 1 {
			fds = append(fds, at*8+bits.TrailingZeros64(word))
		}
	}
	return fds
}

// targets returns the descriptors in an epoll set.
func (c *caller) targets(p *process, epoll int) []int {
	b, err := c.t.r.pid(p.pid, "fdinfo/"+itoa(epoll))
	if err != nil {
		return nil
	}
	return parseTargets(b)
}

// reads reports whether a call waits for data from one of these descriptors.
func (c *caller) reads(p *process, k call, fds []int) bool {
	switch k.nr {
	case unix.SYS_READ, unix.SYS_READV, unix.SYS_RECVFROM, unix.SYS_RECVMSG:
		return slices.Contains(fds, int(int32(k.args[0])))
	case sysPoll, unix.SYS_PPOLL, sysSelect, unix.SYS_PSELECT6:
		return slices.ContainsFunc(c.watched(p, k), func(fd int) bool { return slices.Contains(fds, fd) })
	}
	return false
}
