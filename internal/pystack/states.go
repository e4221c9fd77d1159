package pystack

import (
	"encoding/binary"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/pystack/image"
	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
)

const (
	// MaxThreads is how many threads of a process are read.
	MaxThreads = 512
	// maxInterpreters is how many interpreters of a process are read.
	maxInterpreters = 64
	// maxCandidates is how many thread states may be one thread's: it has one in
	// each interpreter that it enters.
	maxCandidates = 16
)

// state is one PyThreadState.
type state struct{ addr, interp, id uint64 }

// readStates sets the thread states of the first 64 interpreters, at most [MaxThreads]
// (512). p.beyond: there are more. [ErrNotReady]: there is no interpreter or thread yet.
// An [*Unsupported]: the lists do not hold together.
func (p *Process) readStates() error {
	p.states, p.beyond = p.states[:0], false
	interp, err := p.reader.Uint64(p.runtime + uint64(p.layout.Runtime.InterpretersHead))
	if err != nil {
		return p.failed(err)
	}
	if interp == 0 {
		return ErrNotReady
	}
	for range maxInterpreters {
		if interp == 0 {
			break
		}
		if interp%8 != 0 {
			return &Unsupported{Reason: image.Layout}
		}
		head, err := p.reader.Uint64(interp + uint64(p.layout.Interp.ThreadsHead))
		if err != nil {
			return p.failed(err)
		}
		if err := p.readThreads(interp, head); err != nil {
			return err
		}
		if interp, err = p.reader.Uint64(interp + uint64(p.layout.Interp.Next)); err != nil {
			return p.failed(err)
		}
	}
	p.beyond = p.beyond || interp != 0
	if len(p.states) == 0 {
		return ErrNotReady
	}
	return nil
}

// readThreads appends the thread states of an interpreter, until there are [MaxThreads]
// (512) of all interpreters; p.beyond is set if there are more. Of a list that another
// thread changes meanwhile it appends those up to there, and returns an [*Unsupported].
func (p *Process) readThreads(interp, addr uint64) error {
	l := &p.layout.Thread
	for n := 0; addr != 0; n++ {
		if len(p.states) >= MaxThreads || n >= MaxThreads {
			p.stats.ThreadsBeyond++
			p.beyond = true
			return nil
		}
		b := p.walker.state[:l.Size]
		if addr%8 != 0 {
			return &Unsupported{Reason: image.Layout}
		}
		if err := p.reader.Bytes(addr, b); err != nil {
			return p.failed(err)
		}
		if memory.Uint64At(b, l.Interp) != interp {
			return &Unsupported{Reason: image.Layout}
		}
		p.states = append(p.states, state{addr: addr, interp: interp, id: memory.Uint64At(b, l.ID)})
		addr = memory.Uint64At(b, l.Next)
	}
	return nil
}

// The kernel's pointer to a thread's robust list, which glibc keeps within struct
// pthread, leads to that structure: its address is the thread's pthread_t, and it
// has the thread's own pointers, among them those to thread states.
const (
	robustOffset = 736  // of the list in struct pthread
	pthreadSize  = 1296 // of what is read of it: up to the end of its first 32 thread-specific values
	pthreadBelow = 4096 // how far the beginning is looked for if it is not at robustOffset
)

// pthread returns the pthread_t of a thread; 0 and no error if the thread is not glibc's,
// or its memory cannot be read. An error: the kernel refuses it, or the thread has ended.
func (p *Process) pthread(tid int) (uint64, error) {
	var head, size uintptr
	_, _, errno := unix.RawSyscall(unix.SYS_GET_ROBUST_LIST, uintptr(tid), uintptr(unsafe.Pointer(&head)), uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return 0, errno
	}
	if uint64(head) < pthreadBelow {
		return 0, nil
	}
	guess := uint64(head) - robustOffset
	b := p.walker.pthread[:]
	if p.reader.Bytes(guess, b) == nil && selfPointer(b, 0, guess) {
		return guess, nil
	}
	low := make([]byte, pthreadBelow)
	from := uint64(head) - pthreadBelow
	if p.reader.Bytes(from, low) != nil {
		return 0, nil
	}
	for at := len(low) - 24; at >= 0; at -= 8 {
		if addr := from + uint64(at); addr%16 == 0 && selfPointer(low, at, addr) {
			return addr, nil
		}
	}
	return 0, nil
}

// selfPointer reports whether a struct pthread, which is at addr in memory, begins at an
// offset of b: its first and third word are its own address.
func selfPointer(b []byte, at int, addr uint64) bool {
	return memory.Uint64At(b, at) == addr && memory.Uint64At(b, at+16) == addr
}

// place is where the interpreter keeps a thread.
type place struct {
	pthread uint64
	// named are the thread states that have the thread's id, unless an interpreter
	// has two of them: uWSGI makes all of an interpreter's in its main thread, so
	// they have that one's id.
	named []state
	// candidates are the named ones and those that the thread itself points to,
	// which may change; pointed is set if there are any.
	candidates []state
	pointed    bool
}

// locate returns the thread states that a thread may have, of those that were read, at most
// 16; none and no error for a thread without one, or whose struct pthread is not found.
func (p *Process) locate(tid int) (place, error) {
	at := place{}
	var err error
	if at.pthread, err = p.pthread(tid); err != nil || at.pthread == 0 {
		return at, err
	}
	for _, s := range p.states {
		if s.id != at.pthread || len(at.named) == maxCandidates {
			continue
		}
		if slices.ContainsFunc(at.named, func(o state) bool { return o.interp == s.interp }) {
			at.named, at.pointed = nil, true
			break
		}
		at.named = append(at.named, s)
	}
	return at, p.point(&at)
}

// point sets the candidates to the thread states with the thread's pthread_t, and those
// that its struct points to now. errTorn: the struct is not at its address any more.
func (p *Process) point(at *place) error {
	b := p.walker.pthread[:]
	if err := p.reader.Bytes(at.pthread, b); err != nil {
		return err
	}
	if !selfPointer(b, 0, at.pthread) {
		return errTorn
	}
	at.candidates = p.follow(b, append(at.candidates[:0], at.named...))
	at.pointed = at.pointed || len(at.candidates) > len(at.named)
	return nil
}

// follow appends the thread states that a struct pthread points to, until there are 16,
// and returns them.
func (p *Process) follow(b []byte, into []state) []state {
	for ; len(b) >= 8; b = b[8:] {
		w := binary.LittleEndian.Uint64(b)
		if w < memory.MinAddress || w >= memory.EndAddress || len(into) == maxCandidates {
			continue
		}
		for _, s := range p.states {
			if s.addr == w && !slices.Contains(into, s) {
				into = append(into, s)
			}
		}
	}
	return into
}

// owner returns the id of the thread that has a thread state; 0 if it is not found among
// the first 512 threads and thread states, or they cannot be read.
func (p *Process) owner(addr uint64) int {
	if tid := p.owners[addr]; tid != 0 && p.owns(tid, addr) {
		return tid
	}
	if p.readStates() != nil {
		return 0
	}
	clear(p.owners)
	entries, err := p.proc.FirstEntries(p.proc.Path(p.pid, "task"), nil, MaxThreads)
	if err != nil {
		return 0
	}
	for _, e := range entries[:min(len(entries), MaxThreads)] {
		at, err := p.locate(e.N)
		if err != nil {
			continue
		}
		for _, c := range at.candidates {
			p.owners[c.addr] = e.N
		}
	}
	return p.owners[addr]
}

// owns reports whether a thread still has a thread state that it had before; false if that
// cannot be read.
func (p *Process) owns(tid int, addr uint64) bool {
	at, err := p.locate(tid)
	return err == nil && slices.ContainsFunc(at.candidates, func(s state) bool { return s.addr == addr })
}
