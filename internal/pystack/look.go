package pystack

import (
	"errors"
)

// How often one look is begun if the thread went on meanwhile, and if it runs.
const (
	looks        = 3
	runningLooks = 8
)

// Look reads the stack of a thread, by its id as the exporter sees it, into s, which is
// reused: a look at known code allocates nothing. s is valid only if the outcome is [OK],
// and until the next look.
func (p *Process) Look(tid int, s *Stack) Outcome { return p.LookThen(tid, s, nil) }

// LookThen reads a stack as [Process.Look] does, and calls within before it proves that
// the thread did not run: what within reads is then as old as the stack. After an error of
// within the outcome is [Torn], of a thread that runs [Running], or [Permission] if it is
// a refusal; within may be called several times. For a thread that runs there is no proof,
// see [Stack.Frozen]: then within must check its own reads.
func (p *Process) LookThen(tid int, s *Stack, within func(*Stack) error) Outcome {
	var out Outcome
	for try := 1; ; try++ {
		out = p.look(tid, s, within)
		if out != Torn && out != Running || out == Torn && try >= looks || try >= runningLooks {
			break
		}
	}
	p.release(tid)
	if out != OK {
		s.Frames = s.Frames[:0]
	}
	return out
}

// look reads the stack of a thread into s once, and calls within before the stack is
// proven, if it is not nil. It returns the outcome of that attempt; without [OK] s must
// not be used.
func (p *Process) look(tid int, s *Stack, within func(*Stack) error) Outcome {
	*s = Stack{Frames: s.Frames[:0], Syscall: -1}
	t, err := p.thread(tid)
	if err == nil {
		err = t.prove(&t.first)
	}
	if err != nil {
		if ended(err) {
			p.forget(tid)
		}
		return outcome(err)
	}
	s.Syscall = t.first.call()
	if t.first.running() {
		return p.lookRunning(t, s, within)
	}
	return p.lookWaiting(t, s, within)
}

// lookWaiting sets s to the stack of a thread that waits, between two proofs. [Torn]: the
// thread ran between them, or what was read makes no sense. An error of a read or of within
// is returned as its outcome.
func (p *Process) lookWaiting(t *thread, s *Stack, within func(*Stack) error) Outcome {
	same := t.unmoved(s)
	if same && within == nil {
		s.Frozen = true
		return OK
	}
	if !same {
		frames, err := p.stackOf(t, s)
		if err == nil {
			err = p.resolve(s, frames)
		}
		if err != nil {
			return outcome(err)
		}
	}
	if within != nil {
		if err := within(s); err != nil {
			return outcome(err)
		}
	}
	if err := t.prove(&t.second); err != nil {
		return outcome(err)
	}
	if !t.first.equal(&t.second) {
		return Torn
	}
	s.Frozen = true
	if n := len(s.Frames); n > 0 && !s.Truncated {
		s.Frames[n-1].Code.root = true // stacks end there
	}
	t.keep(s)
	return OK
}

// unmoved sets s to the stack of the last look if the thread has not run since: then its
// stack is the same, and so is its code. false: it has run, or no stack of it was proven; s
// is unchanged.
func (t *thread) unmoved(s *Stack) bool {
	if !t.first.equal(&t.last.proof) {
		return false
	}
	s.Frames = append(s.Frames[:0], t.last.frames...)
	s.State, s.Truncated = t.last.state, t.last.chopped
	return true
}

// keep stores a stack that was proven, for [thread.unmoved].
func (t *thread) keep(s *Stack) {
	t.last.proof = t.second
	t.last.frames = append(t.last.frames[:0], s.Frames...)
	t.last.state, t.last.chopped = s.State, s.Truncated
}

// lookRunning sets s to the stack of a thread that runs. Running: it cannot be believed.
// It can if it is complete, its code was known, its innermost line is known, and a second
// read is the same, except the innermost instruction; before 3.11, where frames are
// scattered, six reads: with three, 1 of 4,000 was wrong. Errors: see runningOutcome.
func (p *Process) lookRunning(t *thread, s *Stack, within func(*Stack) error) Outcome {
	frames, err := p.stackOf(t, s)
	if err != nil {
		return runningOutcome(err)
	}
	again := 1
	if p.layout.Frame.Object {
		again = 5
	}
	for range again {
		if err := p.compare(t, s.State, frames); err != nil {
			return runningOutcome(err)
		}
		frames = p.walker.latest()
	}
	loaded := p.codes.loaded
	if err := p.resolve(s, frames); err != nil {
		return runningOutcome(err)
	}
	if loaded != p.codes.loaded || !s.ended() || s.Frames[0].Line == 0 {
		return Running
	}
	if within == nil {
		return OK
	}
	if err := within(s); err != nil {
		return runningOutcome(err)
	}
	p.walker.raws = p.walker.raws[:0]
	for i := range s.Frames {
		f := &s.Frames[i]
		p.walker.raws = append(p.walker.raws, raw{addr: f.Addr, code: f.code, instr: f.instr})
	}
	if err := p.compare(t, s.State, p.walker.raws); err != nil {
		return runningOutcome(err)
	}
	return OK
}

// runningOutcome returns Permission or Beyond if the error is one, else Running.
func runningOutcome(err error) Outcome {
	if out := outcome(err); out == Permission || out == Beyond {
		return out
	}
	return Running
}

// compare reads the stack again. nil: it is the same as old, except the innermost
// instruction. [errTorn]: it is not.
func (p *Process) compare(t *thread, state uint64, old []raw) error {
	frames, err := p.chainOf(t, state)
	if err != nil {
		return err
	}
	if len(frames) != len(old) {
		return errTorn
	}
	for i, f := range frames {
		if f.addr != old[i].addr || f.code != old[i].code || i > 0 && f.instr != old[i].instr {
			return errTorn
		}
	}
	return nil
}

// chainOf returns the frames of the thread state at an address, if the thread may have it.
// errTorn: it may not.
func (p *Process) chainOf(t *thread, addr uint64) ([]raw, error) {
	for _, c := range t.place.candidates {
		if c.addr == addr {
			return p.walker.chain(p, t, c)
		}
	}
	return nil, errTorn
}

// stackOf returns the frames of a thread and sets s.State to the address of its thread
// state. The place of the thread state is remembered, and looked up anew if it does not
// hold any more or has no frames. No frames and no error: it runs no Python code.
// errBeyond: it has no thread state among those read, and there are more.
func (p *Process) stackOf(t *thread, s *Stack) ([]raw, error) {
	if len(t.place.candidates) > 0 {
		frames, err := p.chosen(t, s)
		if err == nil && len(frames) > 0 {
			return frames, nil
		}
		if err != nil && !errors.Is(err, errTorn) {
			return nil, err
		}
	}
	if err := p.readStates(); err != nil {
		return nil, err
	}
	var err error
	t.guess = guess{frames: t.guess.frames[:0]}
	if t.place, err = p.locate(t.tid); err != nil {
		return nil, err
	}
	if len(t.place.candidates) == 0 && p.beyond {
		return nil, errBeyond
	}
	return p.chosen(t, s)
}

// chosen returns the frames of the one thread state that has any, of those that the thread
// may have, and sets s.State to its address. If none has frames there are none, and s.State
// is the first, 0 without any. errTorn: several have frames.
func (p *Process) chosen(t *thread, s *Stack) ([]raw, error) {
	s.State = 0
	if t.place.pointed {
		if err := p.point(&t.place); err != nil {
			return nil, err
		}
	}
	var found []raw
	for _, c := range t.place.candidates {
		frames, err := p.walker.chain(p, t, c)
		if err != nil {
			return nil, err
		}
		switch {
		case len(frames) == 0:
			if s.State == 0 {
				s.State = c.addr
			}
		case len(found) > 0:
			return nil, errTorn // which one is the thread's is not known
		default:
			found, s.State = frames, c.addr
		}
	}
	return found, nil
}
