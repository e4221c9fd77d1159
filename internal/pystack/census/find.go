package census

import (
	"context"
	"errors"
	"maps"

	"github.com/resp-exporter/resp-exporter/internal/pystack/object"
)

// how is how an object is reached from another one.
type how uint8

const (
	asModule how = iota
	asAttribute
	asItem
	asClosure // a cell of a function
	asContent // of a cell
	asDefault
	asWrapped // by an lru_cache
)

// stop is one object that the search visits, and the one that it comes from.
type stop struct {
	addr, key uint64 // key: a str, for modules and attributes
	from      int32  // index of a stop; -1: none
	how       how
	depth     uint8
}

const (
	// maxDepth is how many objects lie between a module and the container, the module not
	// counted: module.object.attribute[…] has two. The cells of functions do not count, but
	// in cells do, so that a way has no more than twice as many.
	maxDepth = 4
	// partVisits is after how many objects what was found is proven and kept, and partReads
	// after how many reads: of memory that is not there each takes some.
	partVisits = 1500
	partReads  = 20_000
)

// Search looks for the places of containers: from the modules of the program over their
// variables, attributes of classes and objects, closures, defaults of arguments and items
// of small containers, nearer ones first. It takes longer than a process may stand still,
// so that it is done in parts.
type Search struct {
	c      *Census
	stops  []stop
	next   int // stop whose objects are to be visited
	seen   map[uint64]struct{}
	want   map[uint64]int32     // the stop where a container was found; -1: not yet
	was    map[uint64]Container // what is searched for, as it was last counted
	dicts  []Container          // that the collector does not list
	types  []uint64
	full   bool
	visits int
}

// Search returns a search for how a program reaches these containers and types;
// [Search.Found] returns their names. Containers are those at these addresses when it
// begins, unless [Search.Expect] has said which ones.
func (c *Census) Search(containers, types []uint64) *Search {
	s := &Search{c: c, seen: make(map[uint64]struct{}, 1<<14), want: make(map[uint64]int32, len(containers)), types: types}
	s.was = make(map[uint64]Container, len(containers))
	for _, addr := range containers {
		s.want[addr] = -1
	}
	return s
}

// Expect sets what the containers that are searched for were when they were last counted,
// since something else may be at their addresses by now.
func (s *Search) Expect(containers []Container) {
	for _, x := range containers {
		s.was[x.Addr] = x
	}
}

// Continue continues the search within one proof that the process has not run. nil:
// everything is visited, there are too many objects, or its time is over, see
// [Search.Dropped]. [ErrAwake]: the process ran; what was found until the last proven part
// is kept, and the caller calls it again. [ErrLayout]: there are no modules.
// [Search.Found] proves the whole result once more.
func (s *Search) Continue(ctx context.Context) error {
	s.c.begin()
	if s.next == 0 {
		if err := s.modules(); err != nil {
			return s.c.end(err)
		}
	}
	for s.next < len(s.stops) && !s.full {
		before, reads := *s, s.c.pages.reads
		for s.visits < before.visits+partVisits && s.c.pages.reads < reads+partReads && s.next < len(s.stops) && !s.full {
			x := s.stops[s.next]
			s.c.children(x, func(to stop) bool { return s.visit(to, int32(s.next)) })
			s.visits++
			s.next++
		}
		late := s.c.late(ctx)
		if !s.c.t.Holds() {
			late = ErrAwake
		}
		switch {
		case errors.Is(late, ErrTooMuch):
			s.full = true
		case late != nil:
			s.undo(&before)
			return late
		}
	}
	return nil
}

// modules begins the search with the modules of the program. ErrAwake: the process ran.
// ErrLayout: there are no modules where they should be.
func (s *Search) modules() error {
	before, began := *s, map[uint64]Container{}
	for addr := range s.want {
		if _, ok := s.was[addr]; !ok {
			began[addr] = s.c.containerAt(addr)
		}
	}
	modules, ok := s.c.objects.Modules(s.c.t.Interp)
	ok = ok && s.c.objects.Entries(modules, func(name, module uint64) bool {
		return s.visit(stop{addr: module, key: name, how: asModule}, -1)
	})
	switch {
	case !s.c.t.Holds():
		s.undo(&before)
		return ErrAwake
	case !ok:
		return ErrLayout
	}
	maps.Copy(s.was, began)
	return nil
}

// undo restores the search as it was before a part that was not proven.
func (s *Search) undo(before *Search) {
	for _, x := range s.stops[len(before.stops):] {
		delete(s.seen, x.addr)
		if _, ok := s.want[x.addr]; ok {
			s.want[x.addr] = -1
		}
	}
	s.stops, s.dicts, s.next, s.full = s.stops[:len(before.stops)], s.dicts[:len(before.dicts)], before.next, before.full
}

// visit adds an object to the search, unless it is atomic, cannot be read, was visited, or
// is a module that is not in the list of modules. It returns false only if there are too
// many objects, and the search is full.
func (s *Search) visit(x stop, from int32) bool {
	s.visits++
	if x.addr == 0 || x.addr%8 != 0 {
		return true
	}
	if _, ok := s.seen[x.addr]; ok {
		return true
	}
	i := s.c.typeOfObject(x.addr)
	switch {
	case !i.ok, i.kind == object.Module && x.how != asModule:
		return true
	case i.holds != "", i.kind == object.Class, i.kind == object.Function, i.kind == object.Module, i.kind == object.Cell, i.kind == object.Other && i.heap:
	default:
		return true
	}
	if len(s.stops) >= MaxPlaces {
		s.full = true
		return false
	}
	if x.from = from; from >= 0 {
		x.depth = s.stops[from].depth
		if x.how != asContent || s.stops[from].how == asContent {
			x.depth++
		}
	}
	if _, ok := s.want[x.addr]; ok {
		s.want[x.addr] = int32(len(s.stops))
	}
	s.seen[x.addr] = struct{}{}
	s.stops = append(s.stops, x)
	if i.holds == Dict {
		s.untracked(x.addr)
	}
	return true
}

// untracked records a dict that the garbage collector does not track, if it has enough
// items.
func (s *Search) untracked(dict uint64) {
	next, ok := s.c.pages.word(dict - headSize)
	n, ok2 := s.c.objects.Field(dict, atSize)
	x := Container{dict, Dict, n}
	if ok && ok2 && next == 0 && n >= minItems && s.c.plausible(x) {
		s.dicts = append(s.dicts, x)
	}
}

// children calls do for each object that an object refers to, until do returns false.
// Beyond maxDepth there are none.
func (c *Census) children(x stop, do func(stop) bool) {
	if x.depth >= maxDepth {
		return
	}
	r := c.objects
	attribute := func(key, value uint64) bool { return do(stop{addr: value, key: key, how: asAttribute}) }
	item := func(_, value uint64) bool { return do(stop{addr: value, how: asItem}) }
	listed := func(_ int, value uint64) bool { return item(0, value) }
	one := func(value uint64, ok bool, how how) {
		if ok {
			do(stop{addr: value, how: how})
		}
	}
	switch i := c.typeOfObject(x.addr); {
	case i.kind == object.Module:
		if dict, ok := r.ModuleDict(x.addr); ok {
			r.Entries(dict, attribute)
		}
	case i.kind == object.Class:
		if dict, ok := r.TypeDict(x.addr); ok {
			r.Entries(dict, attribute)
		}
	case i.kind == object.Function:
		c.ofFunction(x.addr, do)
	case i.kind == object.Cell:
		v, ok := r.Cell(x.addr)
		one(v, ok, asContent)
	case i.holds == Dict:
		r.Entries(x.addr, item)
		if i.heap {
			r.Attributes(x.addr, attribute)
		}
	case i.holds == List:
		r.List(x.addr, listed)
	case i.holds == Tuple:
		r.Tuple(x.addr, listed)
	case i.holds == LRUCache:
		f, ok := r.Field(x.addr, atWrapped)
		one(f, ok, asWrapped)
	case i.holds == "" && i.heap:
		r.Attributes(x.addr, attribute)
	}
}

// ofFunction calls do for each object that a function refers to: in its closure, its
// defaults and its attributes.
func (c *Census) ofFunction(addr uint64, do func(stop) bool) {
	r := c.objects
	r.FunctionParts(addr, func(part object.FunctionPart, value uint64) {
		how := asDefault
		switch part {
		case object.Closure:
			how = asClosure
			fallthrough
		case object.Defaults:
			r.Tuple(value, func(_ int, v uint64) bool { return do(stop{addr: v, how: how}) })
		case object.KeywordDefaults:
			r.Entries(value, func(_, v uint64) bool { return do(stop{addr: v, how: how}) })
		case object.FunctionAttributes:
			r.Entries(value, func(k, v uint64) bool { return do(stop{addr: v, key: k, how: asAttribute}) })
		}
	})
}

// errGone means that an object is not where it was found.
var errGone = errors.New("an object is not where it was any more")

// check returns nil if the way to a stop is still as it was found. errGone: it is not, or
// cannot be read.
func (s *Search) check(n int32) error {
	for n >= 0 {
		x := s.stops[n]
		found := false
		same := func(to stop) bool {
			found = found || to.addr == x.addr && to.how == x.how && to.key == x.key
			return !found
		}
		if x.from >= 0 {
			s.c.children(s.stops[x.from], same)
		} else if modules, ok := s.c.objects.Modules(s.c.t.Interp); ok {
			s.c.objects.Entries(modules, func(name, module uint64) bool { return same(stop{addr: module, key: name, how: asModule}) })
		}
		if !found {
			return errGone
		}
		n = x.from
	}
	return nil
}
