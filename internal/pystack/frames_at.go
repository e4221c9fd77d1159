package pystack

import "github.com/resp-exporter/resp-exporter/internal/pystack/memory"

// FramesAt reads the frames at addresses into s, in that order: those of
// coroutines and greenlets that are suspended, which no thread's stack has. That
// they are frames, and do not change meanwhile, is the caller's to prove, as
// within [Process.LookThen]; an error means that they do not hold together. s is
// reused; at most [MaxFrames] frames are read.
func (p *Process) FramesAt(addrs []uint64, s *Stack) error {
	*s = Stack{Frames: s.Frames[:0], Syscall: -1}
	p.walker.base = 0 // the buffers do not hold the stack of a thread any more
	addrs = addrs[:min(len(addrs), MaxFrames+1)]
	frames := make([]raw, 0, len(addrs))
	for len(addrs) > 0 {
		n := min(len(addrs), memory.MaxParts)
		var err error
		if frames, err = p.walker.framesAt(p, addrs[:n], frames); err != nil {
			return err
		}
		addrs = addrs[n:]
	}
	return p.resolve(s, frames)
}

// framesAt appends the frames at so many addresses as one call reads.
func (w *walker) framesAt(p *Process, addrs []uint64, frames []raw) ([]raw, error) {
	l := &p.layout.Frame
	w.frames = grown(w.frames, len(addrs)*l.Size)
	w.parts = w.parts[:0]
	for i, addr := range addrs {
		if addr%8 != 0 {
			return nil, errTorn
		}
		w.parts = append(w.parts, memory.Part{Addr: addr, Into: w.frames[i*l.Size : (i+1)*l.Size]})
	}
	if err := p.memory.Read(w.parts...); err != nil {
		return nil, err
	}
	for i, addr := range addrs {
		b := w.frames[i*l.Size : (i+1)*l.Size]
		if l.Object {
			if err := w.checkType(p, memory.Uint64At(b, p.layout.Object.Type)); err != nil {
				return nil, err
			}
		}
		f, ok := parseFrame(l, addr, b)
		if !ok {
			return nil, errTorn
		}
		frames = append(frames, f)
	}
	return frames, nil
}

// StackAt reads the frames from one at an address outwards into s, as those of a
// thread's stack; see [Process.FramesAt].
func (p *Process) StackAt(addr uint64, s *Stack) error {
	*s = Stack{Frames: s.Frames[:0], Syscall: -1}
	p.walker.base = 0
	frames, err := p.walker.follow(p, &thread{}, addr)
	if err != nil {
		return err
	}
	return p.resolve(s, frames)
}

// Ends notes that stacks end with a code object, which makes those of running
// threads complete that end there. That it was so in a look that is believed is
// the caller's to prove.
func (c *Code) Ends() { c.root = true }
