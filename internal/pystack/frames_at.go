package pystack

import "github.com/resp-exporter/resp-exporter/internal/pystack/memory"

// FramesAt sets s to the frames at addresses, in that order: those of coroutines and
// greenlets that are suspended, which no thread's stack has. The caller proves that they
// are frames and do not change meanwhile, as within [Process.LookThen]. An error means
// that they cannot be read or do not hold together. Only the first [MaxFrames] (200) are
// read.
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

// framesAt reads the frames at these addresses in one call, and returns frames with them
// appended; nil with an error. errTorn: there is no frame at one of the addresses.
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

// StackAt sets s to the frames from the one at an address outwards, as those of a
// thread's stack; to the first [MaxFrames] if there are more. What [Process.FramesAt]
// says of proof and errors holds here too.
func (p *Process) StackAt(addr uint64, s *Stack) error {
	*s = Stack{Frames: s.Frames[:0], Syscall: -1}
	p.walker.base = 0
	frames, err := p.walker.follow(p, &thread{}, addr)
	if err != nil {
		return err
	}
	return p.resolve(s, frames)
}

// Ends marks a code object as one at which stacks end: a stack of a running thread that
// ends there is complete. The caller has to prove in a proven look that it was so.
func (c *Code) Ends() { c.root = true }
