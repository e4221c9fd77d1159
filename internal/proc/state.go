package proc

import (
	"encoding/binary"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// State is what a worker is doing, as far as one look from outside can tell.
type State string

// The states. StateUnknown is for a worker we may not look at.
const (
	Idle         State = "idle"
	Busy         State = "busy"
	Stuck        State = "stuck"
	Booting      State = "booting"
	StateUnknown State = ""
)

// bootLimit is how long a worker that was never seen waiting for a connection,
// and that runs or reads files as an import does, counts as booting, where
// nothing better is known.
const bootLimit = 10 * time.Second

// stateTracker remembers, for one slot, since when its worker is in a state.
type stateTracker struct {
	state  State
	since  time.Time
	idled  bool   // it has been seen waiting for a connection
	slices uint64 // how often its main thread has run, at the last look
	asleep time.Time
}

// look is one look at a worker: what its main thread does and what else tells.
type look struct {
	ok      bool // the system call could be read
	idle    bool // it waits for a connection, and no other thread is at work
	loads   bool // its main thread runs or reads files
	slices  uint64
	beat    beat
	sync    bool // its heartbeat stops during a request: gunicorn's sync worker
	age     time.Duration
	stuckIn time.Duration
}

// judge turns a look into a state and the time since it is in it.
//
// A gunicorn sync worker does not touch its heartbeat during a request, so
// there the age is the age of the request. For the others only one thing is
// sure: a worker that waits for something else than a connection, and whose
// main thread has not run once between two looks, is still in the same call.
func (s *stateTracker) judge(l look, now time.Time) (State, time.Duration) {
	if s.slices != l.slices || s.asleep.IsZero() {
		s.slices, s.asleep = l.slices, now
	}
	state := Busy
	switch {
	case !l.ok:
		state = StateUnknown
	case l.idle:
		state, s.idled = Idle, true
	case l.beat.never, l.loads && !s.idled && !l.beat.ok && l.age < bootLimit:
		state = Booting
	case l.sync && l.beat.ok && l.beat.age >= l.stuckIn, now.Sub(s.asleep) >= l.stuckIn:
		state = Stuck
	}
	if state != s.state || s.since.IsZero() {
		if s.state != Busy || state != Stuck { // a stuck worker was busy since then
			s.since = now
		}
		s.state = state
	}
	in := now.Sub(s.since)
	switch {
	case state == Booting:
		in = l.age
	case (state == Busy || state == Stuck) && l.sync && l.beat.ok:
		in = l.beat.age
	}
	return state, in
}

// caller reads what threads are doing.
type caller struct {
	t       *table
	scratch [8192]byte
}

// look looks at one worker; detail is in words for people.
func (c *caller) look(p *process, listening []int) (l look, detail string, err error) {
	b, err := c.t.r.pid(p.pid, "syscall")
	if err != nil {
		return look{}, "", err
	}
	main, err := parseSyscall(b)
	if err != nil {
		return look{}, "", err
	}
	l.ok = true
	if b, err := c.t.r.pid(p.pid, "schedstat"); err == nil {
		l.slices, _ = parseTimeslices(b)
	}
	if main.running {
		l.slices = 0 // it runs: whatever it did, it does not sleep in one call
	}
	l.loads = main.nr == -1 || slices.Contains([]int{unix.SYS_READ, unix.SYS_PREAD64, unix.SYS_OPENAT, unix.SYS_GETDENTS64, unix.SYS_MMAP}, main.nr)
	detail = words(main)
	l.idle = c.waitsForConnection(p, main, listening)
	if p.stat.threads > 1 {
		waits, atWork, other := c.others(p, listening)
		switch {
		case atWork && (l.idle || waits):
			l.idle, detail = false, "a thread "+words(other)
		case waits && !main.running && !transfers(main.nr):
			l.idle, detail = true, "a thread waits for a connection"
		}
	}
	return l, detail, nil
}

// waitsForConnection tells whether a call waits on a listening socket: accept
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

// maxThreads bounds the threads looked at in one worker.
const maxThreads = 64

// others looks at the threads beside the main one: whether one waits for a
// connection, and whether one does what a pool's resting thread does not: run,
// or block in input or output. A thread that waits for a lock, sleeps, or waits
// on many descriptors is taken to be at rest, for that is what threads of
// pools, schedulers and event loops do all day; only samples over time, and
// the connections behind the descriptors, tell more.
func (c *caller) others(p *process, listening []int) (waits, atWork bool, at call) {
	list, err := c.t.r.entries(c.t.r.path(p.pid, "task"), nil)
	if err != nil {
		return false, false, call{}
	}
	for _, e := range list[:min(len(list), maxThreads)] {
		if e.n == p.pid {
			continue
		}
		b, err := c.t.r.pid(p.pid, "task/"+itoa(e.n)+"/syscall")
		if err != nil {
			continue
		}
		k, err := parseSyscall(b)
		switch {
		case err != nil:
		case c.waitsForConnection(p, k, listening):
			waits = true
		case k.running || transfers(k.nr):
			atWork, at = true, k
		}
	}
	return waits, atWork, at
}
