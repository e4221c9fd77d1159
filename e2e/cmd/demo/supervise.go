package main

import (
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

const (
	restarts = 5           // of one part within a minute: with more it counts as dead
	rest     = time.Second // before a restart
)

// supervise starts a part and starts it anew when it ends, as systemd would.
func (s *stack) supervise(spec run.Spec) error {
	p, err := run.Start(spec)
	if err != nil {
		return err
	}
	s.add(&s.parts, p)
	s.supervisors.Go(func() { s.keep(p, spec) })
	return nil
}

// keep starts a part again when it ends, until the demo ends.
func (s *stack) keep(p *run.Proc, spec run.Spec) {
	var ended []time.Time
	for {
		select {
		case <-s.ending:
			return
		case <-p.Done():
		}
		now := time.Now()
		if ended = append(ended, now); len(ended) > restarts {
			if ended = ended[1:]; now.Sub(ended[0]) < time.Minute {
				s.dead <- struct{}{}
				return
			}
		}
		select {
		case <-s.ending:
			return
		case <-time.After(rest):
		}
		next, err := run.Start(spec)
		if err != nil {
			s.dead <- struct{}{}
			return
		}
		p = next
		s.add(&s.parts, p)
	}
}
