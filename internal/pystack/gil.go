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
}

// Waits reports whether a futex is the lock's.
func (g *GIL) Waits(futex uint64) bool {
	return futex-g.Cond < layout.CondSize || futex-g.Mutex < layout.MutexSize
}

// GIL returns the state of the lock of the main interpreter, which the others
// share unless they were made with one of their own.
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
		g.HolderTID = p.owner(holder)
	}
	return g, nil
}

// Collecting reports whether the garbage collector of the main interpreter runs.
func (p *Process) Collecting() (bool, error) {
	l := &p.layout.GC
	at := p.runtime + uint64(l.Runtime)
	if l.Interp >= 0 {
		main, err := p.mainInterpreter()
		if err != nil {
			return false, err
		}
		at = main + uint64(l.Interp)
	}
	v, err := p.reader.Uint32(at)
	if err != nil {
		return false, p.failed(err)
	}
	if v > 1 {
		return false, &Unsupported{Reason: image.Layout}
	}
	return v == 1, nil
}

// mainInterpreter returns the address of the first interpreter, the last of their
// list.
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
