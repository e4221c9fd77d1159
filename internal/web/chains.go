package web

import (
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// refreshChains updates the times in the chains to those of the later samples of threads:
// a thread that still waits has waited longer by now, and so has its connection. A chain
// none of whose victims still waits keeps its times.
func (s *pageState) refreshChains(current func(pid int) ([]model.Thread, bool)) {
	later := s.ThreadsAt.Sub(s.At).Seconds()
	if len(s.state.Chains) == 0 || s.At.IsZero() || later <= 0 {
		return
	}
	state := *s.state // that of the gather is shared
	state.Chains = slices.Clone(state.Chains)
	for i := range state.Chains {
		refreshChain(&state.Chains[i], current, later)
	}
	s.state = &state
}

// refreshChain sets the times of a chain by what its threads do now. It changes nothing if
// no victim waits any more. later is how many seconds have passed.
func refreshChain(c *model.Chain, current func(pid int) ([]model.Thread, bool), later float64) {
	still := func(l *model.Link) *model.Thread { return stillWaits(l, current) }
	victims := slices.Clone(c.Victims)
	waits := false
	for i := range victims {
		if t := still(&victims[i]); t != nil {
			victims[i].Seconds, waits = t.Seconds, true
			victims[i].Transaction = longer(victims[i].Transaction, later)
			c.Seconds = max(c.Seconds, t.Seconds)
		}
	}
	if !waits {
		return
	}
	c.Victims, c.Links = victims, slices.Clone(c.Links)
	for i := range c.Links {
		l := &c.Links[i]
		switch t := still(l); {
		case t != nil:
			l.Seconds = t.Seconds
		case l.TID == 0 && l.Seconds > 0:
			l.Seconds += later
		}
		l.Transaction = longer(l.Transaction, later)
	}
}

// stillWaits returns the last sample of a link's thread if that still waits for the same,
// for at least as long; nil if it does not, is not sampled, or the link has no thread.
func stillWaits(l *model.Link, current func(pid int) ([]model.Thread, bool)) *model.Thread {
	if l.PID == 0 || l.TID == 0 {
		return nil
	}
	threads, _ := current(l.PID)
	i := slices.IndexFunc(threads, func(t model.Thread) bool { return t.TID == l.TID })
	if i < 0 || threads[i].On != l.On || threads[i].Peer != l.Peer || threads[i].Seconds < l.Seconds {
		return nil
	}
	return &threads[i]
}

// longer returns a number of seconds plus later; nil for nil.
func longer(v *float64, later float64) *float64 {
	if v == nil {
		return nil
	}
	return model.Known(*v + later)
}

// refreshThreads replaces the threads of the workers by their last samples. A worker that
// is not sampled keeps those of the gather.
func (s *pageState) refreshThreads(current func(pid int) ([]model.Thread, bool)) {
	for i := range s.Apps {
		for j := range s.Apps[i].Workers {
			w := &s.Apps[i].Workers[j]
			if threads, ok := current(w.PID); ok && w.PID != 0 {
				w.Threads = threads
			}
		}
	}
}
