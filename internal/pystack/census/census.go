// Package census counts the objects of a Python process by type, from the lists of its
// garbage collector, finds its largest containers, and where the program has them. The
// process is not stopped: what was read counts only if the caller proves that none of its
// threads ran meanwhile. All that it reads is a stranger's claim.
package census

import (
	"context"
	"errors"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
	"github.com/resp-exporter/resp-exporter/internal/pystack/object"
)

// Bounds of one census.
const (
	// MaxObjects is how many objects are counted.
	MaxObjects = 20_000_000
	// MaxTypes is how many types are told apart; the objects of others count as one.
	MaxTypes = 8192
	// MaxContainers is how many containers are kept, the largest.
	MaxContainers = 4096
	// MaxPlaces is how many objects are visited in search of the places of containers.
	MaxPlaces = 200_000
	// maxTime is how long one pass may take.
	maxTime = 15 * time.Second

	minItems  = 8    // that a container must have
	stillEach = 8192 // objects between two proofs that the process has not run
	nameBytes = 128  // of a name that is returned
)

// Errors of a census.
var (
	// ErrAwake means that the process ran, so that nothing is proven.
	ErrAwake = errors.New("the process ran meanwhile")
	// ErrLayout means that the lists of the collector are not where the version has them.
	ErrLayout = errors.New("the lists of the garbage collector are not where this version has them")
	// ErrCollecting means that the collector is at work: its lists are not whole.
	ErrCollecting = errors.New("the garbage collector is at work")
	// ErrTorn means that a list does not hold together.
	ErrTorn = errors.New("a list of the garbage collector does not hold together")
	// ErrTooMuch means that a census takes more objects or time than it may.
	ErrTooMuch = errors.New("the process has more objects than are counted, or reading them takes too long")
)

// Kind is what a container is.
type Kind string

// The kinds of containers.
const (
	Dict     Kind = "dict"
	List     Kind = "list"
	Set      Kind = "set"
	Tuple    Kind = "tuple"
	Deque    Kind = "deque"
	LRUCache Kind = "lru_cache"
)

// Container is a container with so many items. Addr is the lru_cache's own address where
// it is one, not that of its dict.
type Container struct {
	Addr  uint64
	Kind  Kind
	Items uint64
}

// Heap is what one census has counted.
type Heap struct {
	Objects    uint64
	Types      map[uint64]uint64 // objects, by the address of their type
	Other      uint64            // objects of types beyond [MaxTypes]
	Containers []Container       // the largest first
	Dropped    uint64            // containers beyond [MaxContainers]
}

// Target is the process of a census.
type Target struct {
	Memory  memory.Memory
	Minor   int              // of Python 3
	Runtime uint64           // address of _PyRuntime
	Interp  uint64           // address of the state of the main interpreter
	Objects object.Layout    // where objects have what
	Holds   func() bool      // whether the process has not run since the pass began
	Now     func() time.Time // nil: time.Now
	Spent   func() bool      // whether the pass has used the CPU time that it may; nil: it may use any
}

// Census takes censuses of one process. It has about 16 MiB and must not be used by two
// goroutines at once.
type Census struct {
	t       Target
	pages   *pages
	objects *object.Reader
	types   map[uint64]typeInfo
	lists   []list
	until   time.Time
	steps   int
	room    [128]byte
}

// typeInfo is what a type is to a census.
type typeInfo struct {
	kind  object.Kind
	holds Kind // "": it is no container
	heap  bool
	ok    bool
}

// New returns the census of a process. It reads nothing yet.
func New(t Target) *Census {
	if t.Now == nil {
		t.Now = time.Now
	}
	c := &Census{t: t, pages: newPages(t.Memory), types: make(map[uint64]typeInfo)}
	c.objects = object.NewReader(c.pages, t.Objects, new(object.Room))
	return c
}

// begin begins a pass: it removes all that was read before, and sets when the pass must
// end.
func (c *Census) begin() {
	c.pages.reset()
	clear(c.types)
	// The reader remembers types that are never freed, but not in the next pass: another
	// program may have started in the process.
	c.objects = object.NewReader(c.pages, c.t.Objects, new(object.Room))
	c.objects.Begin(nil)
	c.until, c.steps = c.t.Now().Add(maxTime), 0
}

// step counts one object that is read. Every 8,192 objects it checks whether the pass must
// end, and returns why: [ErrAwake], ErrTooMuch or the error of ctx; else nil.
func (c *Census) step(ctx context.Context) error {
	if c.steps++; c.steps%stillEach != 0 {
		return nil
	}
	if err := c.late(ctx); err != nil {
		return err
	}
	if !c.t.Holds() {
		return ErrAwake
	}
	return nil
}

// late returns why the pass must end: ErrTooMuch or the error of ctx; nil if it need not.
// It does not check whether the process has run.
func (c *Census) late(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.over() {
		return ErrTooMuch
	}
	return nil
}

// end returns the error with which a pass ends: [ErrAwake] if the process ran, whatever
// was read; else err, with the error of the last read unless that is [memory.ErrShort];
// nil if err is.
func (c *Census) end(err error) error {
	if !c.t.Holds() {
		return ErrAwake
	}
	if err != nil && c.pages.err != nil && !errors.Is(c.pages.err, memory.ErrShort) {
		return errors.Join(err, c.pages.err)
	}
	return err
}

// over reports whether a pass has used its time.
func (c *Census) over() bool {
	return c.t.Now().After(c.until) || c.t.Spent != nil && c.t.Spent()
}

// typeOf returns what is known of the type at an address, which is read once a pass; ok of
// it is false if there is no type or it cannot be read.
func (c *Census) typeOf(addr uint64) typeInfo {
	if i, ok := c.types[addr]; ok {
		return i
	}
	var i typeInfo
	if t, ok := c.objects.Type(addr); ok {
		i = typeInfo{kind: t.Kind, heap: t.Heap(), ok: true, holds: c.holds(t)}
	}
	if len(c.types) < 4*MaxTypes {
		c.types[addr] = i
	}
	return i
}

// holds returns which kind of container the objects of a type are, by the type or one of
// the seven bases above it; "" if none, for a class of Python code named set without such a
// base, and if a base cannot be read.
func (c *Census) holds(t object.Type) Kind {
	switch t.Kind {
	case object.Dict:
		return Dict
	case object.List:
		return List
	case object.Tuple:
		return Tuple
	case object.Set:
		return Set
	case object.Other:
	default:
		return ""
	}
	const bases = 8
	for range bases {
		switch string(c.objects.NameOf(c.room[:0], t)) {
		case "collections.deque":
			return Deque
		case "set":
			if !t.Heap() { // a class of that name is none
				return Set
			}
		case "functools._lru_cache_wrapper":
			return LRUCache
		}
		base := c.objects.TypeBase(t.Addr)
		var ok bool
		if t, ok = c.objects.Type(base); base == 0 || !ok {
			return ""
		}
	}
	return ""
}

// Move sets the address of the main interpreter's state, which may have changed.
func (c *Census) Move(interp uint64) { c.t.Interp = interp }
