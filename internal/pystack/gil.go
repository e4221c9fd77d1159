package pystack

import (
	"github.com/resp-exporter/resp-exporter/internal/pystack/image"
	"github.com/resp-exporter/resp-exporter/internal/pystack/layout"
	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
)

// GIL is the state of the global interpreter lock.
type GIL struct {
	Locked bool
	// HolderTID is the thread that holds it, as the exporter sees it; 0: none,
	// or a thread that was not found.
	HolderTID int
	// Cond and Mutex are the addresses of what threads wait on for it, see
	// [GIL.Waits].
	Cond, Mutex uint64

	holder uint64 // the thread state of that thread
}

// Waits reports whether a futex at this address is part of the lock, so that its waiter
// waits for the lock.
func (g *GIL) Waits(futex uint64) bool {
	return futex-g.Cond < layout.CondSize || futex-g.Mutex < layout.MutexSize
}

// GIL returns the state of the lock of the main interpreter, which the others share
// unless they were made with one of their own. Before the first thread is made it is not
// locked. [ErrNotReady]: there is no interpreter yet. An [*Unsupported]: there is no lock
// where it should be.
func (p *Process) GIL() (GIL, error) {
	l := &p.layout.GIL
	at := p.runtime + uint64(l.Base)
	if l.Interp >= 0 {
		main, err := p.mainInterpreter()
		if err != nil {
			return GIL{}, err
		}
		if at, err = p.reader.Uint64(main + uint64(l.Interp)); err != nil {
			return GIL{}, p.failed(err)
		}
	}
	b := p.walker.single[:24]
	if err := p.reader.Bytes(at, b); err != nil {
		return GIL{}, p.failed(err)
	}
	g := GIL{Cond: at + uint64(l.Cond), Mutex: at + uint64(l.Mutex)}
	switch memory.Uint32At(b, l.Locked) {
	case 0:
	case 1:
		g.Locked = true
	case 1<<32 - 1: // before the first thread is made
	default:
		return GIL{}, &Unsupported{Reason: image.Layout}
	}
	if holder := memory.Uint64At(b, l.LastHolder); g.Locked && holder != 0 {
		g.HolderTID, g.holder = p.owner(holder), holder
	}
	return g, nil
}

// Collecting reports whether the garbage collector of one of the first 64 interpreters of
// the process runs.
func (p *Process) Collecting() (bool, error) {
	if p.layout.GC.Interp < 0 {
		return p.collects(p.runtime + uint64(p.layout.GC.Runtime))
	}
	addr, err := p.reader.Uint64(p.runtime + uint64(p.layout.Runtime.InterpretersHead))
	for range maxInterpreters {
		if err != nil {
			return false, p.failed(err)
		}
		if addr == 0 {
			break
		}
		if on, err := p.collects(addr + uint64(p.layout.GC.Interp)); on || err != nil {
			return on, err
		}
		addr, err = p.reader.Uint64(addr + uint64(p.layout.Interp.Next))
	}
	return false, nil
}

// Collector returns the thread that runs the garbage collector: the one that holds the main
// interpreter's lock, if its interpreter collects (3.8: if any does); 0 if none does,
// nobody holds the lock, or the thread was not found.
func (p *Process) Collector() (tid int, err error) {
	if on, err := p.Collecting(); err != nil || !on {
		return 0, err
	}
	g, err := p.GIL()
	if err != nil || g.HolderTID == 0 || p.layout.GC.Interp < 0 {
		return g.HolderTID, err
	}
	interp, err := p.reader.Uint64(g.holder + uint64(p.layout.Thread.Interp))
	if err != nil {
		return 0, p.failed(err)
	}
	on, err := p.collects(interp + uint64(p.layout.GC.Interp))
	if err != nil || !on {
		return 0, err
	}
	return g.HolderTID, nil
}

// collects reports whether the collector runs, by the flag at an address. Another value
// than 0 and 1 is an [Unsupported].
func (p *Process) collects(flag uint64) (bool, error) {
	v, err := p.reader.Uint32(flag)
	if err != nil {
		return false, p.failed(err)
	}
	if v > 1 {
		return false, &Unsupported{Reason: image.Layout}
	}
	return v == 1, nil
}

// MainInterpreter returns the address of the state of the main interpreter.
// [ErrNotReady]: there is none yet.
func (p *Process) MainInterpreter() (uint64, error) { return p.mainInterpreter() }

// mainInterpreter returns the address of the state of the main interpreter, the last in
// their list. ErrNotReady: there is none yet. An [*Unsupported]: the list has no end
// within 64.
func (p *Process) mainInterpreter() (uint64, error) {
	addr, err := p.reader.Uint64(p.runtime + uint64(p.layout.Runtime.InterpretersHead))
	for range maxInterpreters {
		if err != nil {
			return 0, p.failed(err)
		}
		if addr == 0 {
			return 0, ErrNotReady
		}
		var next uint64
		if next, err = p.reader.Uint64(addr + uint64(p.layout.Interp.Next)); err == nil && next == 0 {
			return addr, nil
		}
		if err == nil {
			addr = next
		}
	}
	return 0, &Unsupported{Reason: image.Layout}
}
