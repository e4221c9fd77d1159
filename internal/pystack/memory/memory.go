// Package memory reads the memory of another process (process_vm_readv(2)), which
// is neither stopped nor slowed down by that. What it returns was written by a
// stranger: a caller bounds each length, index and sum of addresses.
package memory

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

const (
	// MaxParts is how many parts one call may have.
	MaxParts = 64
	// MaxLength is how many bytes one part may have.
	MaxLength = 1 << 20
	// MinAddress is the first address that may be read. No program has anything
	// below it, so a smaller one is a null pointer with an offset.
	MinAddress = 4096
	// EndAddress is the first address behind a program's memory on x86-64 and
	// arm64 with four levels of page tables.
	EndAddress = 1 << 47
)

// Errors of a read that was not attempted, and of one that the kernel did not finish. The
// others are unix.EPERM, unix.ESRCH and unix.EFAULT.
var (
	ErrAddress = errors.New("memory: address out of range")
	ErrLength  = errors.New("memory: too many bytes at once")
	ErrParts   = errors.New("memory: too many parts at once")
	ErrShort   = errors.New("memory: not all bytes can be read")
)

// Part is a range of a process's memory: len(Into) bytes from Addr on.
type Part struct {
	Addr uint64
	Into []byte
}

// Memory reads the memory of one process. It must not be used by two goroutines
// at once.
type Memory interface {
	// Read fills each part. After an error no byte of any part is to be believed.
	// One call is one process_vm_readv(2) of at most [MaxParts] parts; the parts
	// are read one after the other while the process runs.
	Read(parts ...Part) error
}

// Process is the memory of a running process.
type Process struct {
	pid    int
	watch  *Watchdog // nil: reads have no deadline
	calls  uint64
	bytes  uint64
	local  [MaxParts]unix.Iovec
	remote [MaxParts]unix.RemoteIovec
}

// NewProcess returns the memory of a process by its id, as the exporter sees it.
// The id may come to be another process's: the caller proves that it did not.
func NewProcess(pid int) *Process { return &Process{pid: pid} }

// NewWatched returns a process as [NewProcess] does, with a deadline for reads in
// functions of [Watchdog.Do]. If too many reads hang, reads return [ErrHung].
func NewWatched(pid int, w *Watchdog) *Process { return &Process{pid: pid, watch: w} }

// SetPID makes p the memory of another process.
func (p *Process) SetPID(pid int) { p.pid = pid }

// Calls returns how often process_vm_readv(2) was called.
func (p *Process) Calls() uint64 { return p.calls }

// Bytes returns how many bytes all calls have requested.
func (p *Process) Bytes() uint64 { return p.bytes }

// Read implements [Memory]. It allocates nothing. [ErrShort]: not all bytes came;
// [ErrHung]: too many reads hang.
func (p *Process) Read(parts ...Part) error {
	total, err := check(parts)
	if err != nil || total == 0 {
		return err
	}
	p.calls++
	p.bytes += uint64(total)
	n := 0
	for i := range parts {
		part := &parts[i]
		if len(part.Into) == 0 {
			continue
		}
		p.local[n].Base = &part.Into[0]
		p.local[n].SetLen(len(part.Into))
		p.remote[n] = unix.RemoteIovec{Base: uintptr(part.Addr), Len: len(part.Into)}
		n++
	}
	got, err := p.readv(n)
	clear(p.local[:n]) // what was read belongs to the caller
	if err != nil {
		return err
	}
	if got != total {
		return ErrShort
	}
	return nil
}

// readv reads the first n parts (process_vm_readv(2)) and returns how many bytes came.
// ErrHung: too many reads hang, so it was not begun.
func (p *Process) readv(n int) (int, error) {
	if p.watch == nil {
		return unix.ProcessVMReadv(p.pid, p.local[:n], p.remote[:n], 0)
	}
	g, ok := p.watch.begin()
	if !ok {
		return 0, ErrHung
	}
	got, err := unix.ProcessVMReadv(p.pid, p.local[:n], p.remote[:n], 0)
	p.watch.end(g)
	return got, err
}

// Reader reads single values through a buffer of its own, so that it allocates
// nothing.
type Reader struct {
	Memory Memory

	part [1]Part
	word [8]byte
}

// NewReader returns a reader of a process's memory.
func NewReader(m Memory) *Reader { return &Reader{Memory: m} }

// Bytes fills into from an address on. With an error what is in into must not be used.
func (r *Reader) Bytes(addr uint64, into []byte) error {
	r.part[0] = Part{Addr: addr, Into: into}
	err := r.Memory.Read(r.part[:]...)
	r.part[0].Into = nil
	return err
}

// Uint64 returns the 8 bytes at an address as a number, the lowest byte first; 0 with an
// error.
func (r *Reader) Uint64(addr uint64) (uint64, error) {
	if err := r.Bytes(addr, r.word[:]); err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(r.word[:]), nil
}

// Uint32 returns the 4 bytes at an address as a number, the lowest byte first; 0 with an
// error.
func (r *Reader) Uint32(addr uint64) (uint32, error) {
	if err := r.Bytes(addr, r.word[:4]); err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(r.word[:4]), nil
}

// Uint64At returns the 8 bytes at an offset of bytes that were read; 0 beyond
// their end.
func Uint64At(b []byte, offset int) uint64 {
	if offset < 0 || len(b) < 8 || offset > len(b)-8 {
		return 0
	}
	return binary.LittleEndian.Uint64(b[offset:])
}

// Uint32At returns the 4 bytes at an offset, as [Uint64At] does.
func Uint32At(b []byte, offset int) uint32 {
	if offset < 0 || len(b) < 4 || offset > len(b)-4 {
		return 0
	}
	return binary.LittleEndian.Uint32(b[offset:])
}
