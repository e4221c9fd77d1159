package census

import "context"

// Found is what a [Search] has found. Its names are clean, at most 128 bytes each.
type Found struct {
	Names map[uint64]string // of containers: where the program has them
	Types map[uint64]string // names of types, with the module
	Items map[uint64]Items  // what is in containers
}

// Untracked returns the dicts with enough items that the search has come to and the
// collector does not track, as when all that they hold is atomic, the largest first, at
// most [MaxContainers].
func (s *Search) Untracked() []Container {
	h := Heap{Containers: s.dicts}
	h.trim(MaxContainers)
	return h.Containers
}

// Dropped returns how many searches ended at [MaxPlaces] or for want of time: 1 or 0.
func (s *Search) Dropped() uint64 {
	if s.full {
		return 1
	}
	return 0
}

// Found returns the names of the containers and types that were searched for, within one
// proof that the process has not run. A container that was not found or was moved has no
// name; one that was replaced or is much smaller has no items either. [ErrAwake]: the
// process ran. [ErrTooMuch]: it takes too long. With an error the result is nil.
func (s *Search) Found(ctx context.Context) (*Found, error) {
	c := s.c
	c.begin()
	out := &Found{Names: map[uint64]string{}, Types: map[uint64]string{}, Items: map[uint64]Items{}}
	for addr, n := range s.want {
		if err := c.late(ctx); err != nil {
			return nil, c.end(err)
		}
		if !s.same(addr) {
			continue
		}
		if n >= 0 && s.check(n) == nil {
			out.Names[addr] = s.name(n)
		}
		out.Items[addr] = c.itemsOf(addr)
	}
	for _, addr := range s.types {
		if err := c.late(ctx); err != nil {
			return nil, c.end(err)
		}
		out.Types[addr] = c.typeName(addr)
	}
	if err := c.end(nil); err != nil {
		return nil, err
	}
	return out, nil
}

// same reports whether the container at an address is of the kind that it was, and has
// about as many items at least: an address is used again for other objects.
func (s *Search) same(addr uint64) bool {
	was, now := s.was[addr], s.c.containerAt(addr)
	return now.Kind != "" && now.Kind == was.Kind && now.Items >= was.Items-was.Items/8 && s.c.plausible(now)
}
