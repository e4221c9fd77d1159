package pystack

import "github.com/resp-exporter/resp-exporter/internal/pystack/memory"

// FramesAt reads the frames at addresses into s, in that order: those of
// coroutines and greenlets that are suspended, which no thread's stack has. That
// they are frames, and do not change meanwhile, is the caller's to prove, as
// within [Process.LookThen]; an error means that they do not hold together. s is
// reused; at most [MaxFrames] frames are read.
func (p *Process) FramesAt(addrs []uint64, s *Stack) error {
	*s = Stack{Frames: s.Frames[:0], Syscall: -1}
	w, l := &p.walker, &p.layout.Frame
	w.base = 0 // the buffers do not hold the stack of a thread any more
	addrs = addrs[:min(len(addrs), MaxFrames+1)]
	frames := make([]raw, 0, len(addrs))
	for len(addrs) > 0 {
		n := min(len(addrs), memory.MaxParts)
		w.frames = grown(w.frames, n*l.Size)
		w.parts = w.parts[:0]
		for i, addr := range addrs[:n] {
			if addr%8 != 0 {
				return errTorn
			}
			w.parts = append(w.parts, memory.Part{Addr: addr, Into: w.frames[i*l.Size : (i+1)*l.Size]})
		}
		if err := p.memory.Read(w.parts...); err != nil {
			return err
		}
		for i, addr := range addrs[:n] {
			b := w.frames[i*l.Size : (i+1)*l.Size]
			if l.Object {
				if err := w.checkType(p, memory.Uint64At(b, p.layout.Object.Type)); err != nil {
					return err
				}
			}
			f, ok := parseFrame(l, addr, b)
			if !ok {
				return errTorn
			}
			frames = append(frames, f)
		}
		addrs = addrs[n:]
	}
	return p.resolve(s, frames)
}
