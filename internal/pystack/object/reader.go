package object

import (
	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
)

// Bounds of what is read of one object.
const (
	MaxText  = 300  // characters of a str, bytes of a bytes
	MaxItems = 4096 // of a tuple, a list or a set
	// MaxEntries is how many entries of a dict are looked through.
	MaxEntries = 1 << 13

	typesMost = 256 // static types that are remembered
	nameMost  = 96  // bytes of a type's name
)

// Counts has how often a reader refused something.
type Counts struct {
	Wild  uint64 // addresses that nothing can be read from, or that no object can have
	Long  uint64 // texts and numbers that were cut or refused for their size
	Many  uint64 // containers that were not read to their end
	Alien uint64 // objects of another type than expected, or not sound
}

// Reader reads the objects of one process. It must not be used by two goroutines
// at once.
type Reader struct {
	Counts Counts

	mem    memory.Memory
	layout Layout
	room   *Room
	static map[uint64]Type // types that are never freed, by address
}

// NewReader returns a reader of a process's objects. The process must be the same,
// and must not have started another program, as long as the reader is used.
func NewReader(mem memory.Memory, layout Layout, room *Room) *Reader {
	return &Reader{mem: mem, layout: layout, room: room, static: map[uint64]Type{}}
}

// Layout returns the layout that the reader uses.
func (r *Reader) Layout() Layout { return r.layout }

// Begin starts a look: it discards everything that was read before, and reads the lines
// that the last look with that trail used. With a nil trail it reads nothing ahead.
func (r *Reader) Begin(t *Trail) {
	r.room.reset()
	if t != nil {
		r.room.readAhead(r.mem, t)
	}
}

// End stores the lines that the look has used in a trail.
func (r *Reader) End(t *Trail) { r.room.keep(t) }

// Word returns the 8 bytes at an address as a number; false if they cannot be read, which
// is counted.
func (r *Reader) Word(addr uint64) (uint64, bool) {
	w, ok := r.room.word(r.mem, addr)
	if !ok {
		r.Counts.Wild++
	}
	return w, ok
}

// Read fills into with the bytes at an address; false if not all of them can be read,
// which is counted.
func (r *Reader) Read(addr uint64, into []byte) bool {
	if !r.room.read(r.mem, addr, into) {
		r.Counts.Wild++
		return false
	}
	return true
}

// Field returns the 8 bytes at an offset of an object as a number; false if they cannot
// be read. Objects lie at multiples of 8.
func (r *Reader) Field(obj, offset uint64) (uint64, bool) {
	if obj >= memory.EndAddress {
		r.Counts.Wild++
		return 0, false
	}
	return r.Word(obj + r.layout.shift + offset)
}

// alien counts an object that is of another type, or makes no sense, and returns false.
func (r *Reader) alien() bool {
	r.Counts.Alien++
	return false
}
