package pystack

import (
	"github.com/resp-exporter/resp-exporter/internal/pystack/layout"
	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
)

const (
	// maxChunk is how many bytes of the data stack are read at once, up to its top.
	maxChunk = 64 << 10
	// maxSteps bounds a chain, frames without Python code included.
	maxSteps = 2*MaxFrames + 8
	// maxGuess is how many frames of the last look are read at once.
	maxGuess = memory.MaxParts - 2
)

// raw is one frame as it is in the process's memory.
type raw struct {
	addr, code uint64
	instr      uint64 // address of the instruction; before 3.11 its offset
}

// guess is where a thread's stack was at the last look, so that the next look can
// read all of it in one call.
type guess struct {
	cframe uint64
	chunk  uint64 // from where on the data stack is read
	length int
	frames []uint64 // before 3.11
}

// walker has the buffers of a walk, which are reused.
type walker struct {
	state   [320]byte
	cframe  [16]byte
	pthread [pthreadSize]byte
	single  [144]byte
	chunk   []byte // of the data stack
	base    uint64 // its address
	frames  []byte // before 3.11: the frames that were guessed
	parts   []memory.Part
	proofs  []byte
	chains  [2][]raw
	raws    []raw
	flip    int
	typed   uint64 // type of frames: before 3.11
}

// chain returns the frames of a thread state, the innermost first: at most [MaxFrames] and
// one, so that the caller sees that there are more. None: the thread runs no Python code.
// errTorn: it is another one's by now, or the frames do not hold together. The frames are
// valid until the call after the next one.
func (w *walker) chain(p *Process, t *thread, s state) ([]raw, error) {
	l := &p.layout
	if err := w.read(p, t, s); err != nil {
		return nil, err
	}
	b := w.state[:l.Thread.Size]
	if memory.Uint64At(b, l.Thread.Interp) != s.interp || memory.Uint64At(b, l.Thread.ID) != s.id {
		return nil, errTorn
	}
	addr := memory.Uint64At(b, l.Thread.Frame)
	if l.Thread.CFrame >= 0 {
		if addr == 0 {
			return nil, errTorn
		}
		if addr != t.guess.cframe {
			if err := p.reader.Bytes(addr, w.cframe[:]); err != nil {
				return nil, err
			}
			t.guess.cframe = addr
		}
		addr = memory.Uint64At(w.cframe[:], l.Thread.CFrame)
	}
	if addr == 0 {
		return nil, nil
	}
	if l.Thread.Chunk >= 0 {
		if err := w.readChunk(p, t, memory.Uint64At(b, l.Thread.Chunk), memory.Uint64At(b, l.Thread.ChunkTop)); err != nil {
			return nil, err
		}
	}
	return w.follow(p, t, addr)
}

// read reads the thread state and, in the same call, the frames of the last look, which are
// probably those of now too. If they cannot be read together, it forgets those frames and
// reads the state alone; only if that fails it returns an error.
func (w *walker) read(p *Process, t *thread, s state) error {
	l, g := &p.layout, &t.guess
	w.base = 0
	w.parts = append(w.parts[:0], memory.Part{Addr: s.addr, Into: w.state[:l.Thread.Size]})
	if g.cframe != 0 {
		w.parts = append(w.parts, memory.Part{Addr: g.cframe, Into: w.cframe[:]})
	}
	if g.chunk != 0 {
		w.base = g.chunk
		w.parts = append(w.parts, memory.Part{Addr: g.chunk, Into: w.room(g.length)})
	}
	if n := len(g.frames); n > 0 {
		w.frames = grown(w.frames, n*l.Frame.Size)
		for i, addr := range g.frames {
			w.parts = append(w.parts, memory.Part{Addr: addr, Into: w.frames[i*l.Frame.Size : (i+1)*l.Frame.Size]})
		}
	}
	err := p.memory.Read(w.parts...)
	if err == nil || len(w.parts) == 1 {
		return err
	}
	*g = guess{frames: g.frames[:0]}
	w.base = 0
	return p.memory.Read(w.parts[:1]...)
}

// room returns n bytes of the walker that hold the data stack until the next read.
func (w *walker) room(n int) []byte {
	w.chunk = grown(w.chunk, n)
	return w.chunk
}

// grown returns n bytes: those of b if it has room for so many, else new ones, without the
// content of b.
func grown(b []byte, n int) []byte {
	if cap(b) < n {
		b = make([]byte, n, (n+4095)&^4095)
	}
	return b[:n]
}

// readChunk reads the used part of the data stack's newest chunk, its last 64 KiB if it is
// longer, unless it was read with the thread state. If the addresses make no sense it reads
// nothing and returns nil; then each frame is read on its own.
func (w *walker) readChunk(p *Process, t *thread, chunk, top uint64) error {
	if chunk == 0 || top <= chunk || top-chunk > memory.EndAddress {
		w.base, t.guess.chunk = 0, 0
		return nil // each frame is read on its own
	}
	from := chunk
	if top-from > maxChunk {
		from = (top - maxChunk) &^ 7
	}
	length := int(top - from)
	if w.base == from && t.guess.length == length {
		return nil
	}
	w.base, t.guess.chunk = 0, 0
	if err := p.reader.Bytes(from, w.room(length)); err != nil {
		return err
	}
	w.base, t.guess.chunk, t.guess.length = from, from, length
	return nil
}

// follow returns the frames of a chain, from the innermost one at addr outwards, at most
// [MaxFrames] and one, without those that have no Python code. errTorn: the chain does not
// hold together.
func (w *walker) follow(p *Process, t *thread, addr uint64) ([]raw, error) {
	l := &p.layout.Frame
	w.flip ^= 1
	out := w.chains[w.flip][:0]
	defer func() { w.chains[w.flip] = out }()
	for step := 0; addr != 0 && len(out) <= MaxFrames; step++ {
		if addr%8 != 0 || step > maxSteps {
			return nil, errTorn
		}
		b, err := w.frame(p, t, addr, len(out))
		if err != nil {
			return nil, err
		}
		if l.Owner < 0 || int(b[l.Owner]) < l.CStack {
			f, ok := parseFrame(l, addr, b)
			if !ok {
				return nil, errTorn
			}
			out = append(out, f)
		}
		addr = memory.Uint64At(b, l.Previous)
	}
	if l.Object {
		t.guess.remember(out)
	}
	return out, nil
}

// latest returns the frames that the last walk has found.
func (w *walker) latest() []raw { return w.chains[w.flip] }

// parseFrame returns the frame in the bytes b, which were at addr; false if it has no code
// object, or at no multiple of 8.
func parseFrame(l *layout.Frame, addr uint64, b []byte) (raw, bool) {
	f := raw{addr: addr, code: memory.Uint64At(b, l.Code), instr: memory.Uint64At(b, l.Instr)}
	if l.Tagged {
		f.code &^= 3
	}
	if l.Unit != 0 {
		f.instr = uint64(int64(int32(uint32(f.instr))) * int64(l.Unit))
	}
	return f, f.code != 0 && f.code%8 == 0
}

// remember stores the addresses of the frames as a guess for the next look.
func (g *guess) remember(frames []raw) {
	g.frames = g.frames[:0]
	for i := range frames[:min(len(frames), maxGuess)] {
		g.frames = append(g.frames, frames[i].addr)
	}
}

// frame returns the bytes of the frame at an address, the n-th of the chain: from what was
// read already, or by a read of its own. They are valid until the next read. errTorn:
// before 3.11, it is no frame; later frames have no type to check.
func (w *walker) frame(p *Process, t *thread, addr uint64, n int) ([]byte, error) {
	size := p.layout.Frame.Size
	if b := w.seen(addr, size); b != nil {
		return b, nil
	}
	var b []byte
	if n < len(t.guess.frames) && t.guess.frames[n] == addr {
		b = w.frames[n*size : (n+1)*size]
	} else {
		b = w.single[:size]
		if err := p.reader.Bytes(addr, b); err != nil {
			return nil, err
		}
	}
	if p.layout.Frame.Object {
		return b, w.checkType(p, memory.Uint64At(b, p.layout.Object.Type))
	}
	return b, nil
}

// seen returns n bytes at an address of the data stack; nil if they were not read.
func (w *walker) seen(addr uint64, n int) []byte {
	if w.base == 0 || addr < w.base || addr-w.base > uint64(len(w.chunk)) || uint64(len(w.chunk))-(addr-w.base) < uint64(n) {
		return nil
	}
	at := int(addr - w.base)
	return w.chunk[at : at+n]
}

// checkType returns nil if typ is a type of frame objects, [errTorn] if it is none.
func (w *walker) checkType(p *Process, typ uint64) error {
	if typ == w.typed {
		return nil
	}
	ok, err := p.typeIs(typ, "frame")
	if err != nil {
		return err
	}
	if !ok {
		return errTorn
	}
	w.typed = typ
	return nil
}

// typeIs reports whether the type at an address has this name, of at most 15 bytes.
func (p *Process) typeIs(typ uint64, name string) (bool, error) {
	at, err := p.reader.Uint64(typ + uint64(p.layout.Object.TypeName))
	if err != nil {
		return false, err
	}
	var b [16]byte
	got := b[:len(name)+1]
	if err := p.reader.Bytes(at, got); err != nil {
		return false, err
	}
	return string(got[:len(name)]) == name && got[len(name)] == 0, nil
}
