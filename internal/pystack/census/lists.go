package census

import (
	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
)

// list is one list of the collector.
type list struct{ head, first uint64 }

// place is where a version has the lists of the collector: three generations of 24 bytes
// each, the permanent one, and whether it collects (struct _gc_runtime_state,
// Include/internal/pycore_gc.h, taken with offsetof).
type place struct {
	generations, permanent, collecting uint64
	inRuntime                          bool // 3.8; else in the interpreter
}

const (
	generations = 3
	generation  = 24 // bytes: the head of the list, a threshold and a count
)

// places returns where a version may have the lists; nil for an unknown version. Later
// patch releases of 3.13 align a node to 4 bytes and not to 8, so that the generations,
// behind three numbers of 4 bytes, begin 4 bytes earlier; what follows them begins with a
// pointer and stays where it was.
func places(minor int) []place {
	switch minor {
	case 8:
		return []place{{368, 448, 544, true}}
	case 9, 10:
		return []place{{640, 720, 816, false}}
	case 11:
		return []place{{672, 752, 848, false}}
	case 12:
		return []place{{136, 216, 312, false}}
	case 13:
		return []place{{7424, 7504, 7600, false}, {7420, 7504, 7600, false}}
	case 14:
		return []place{{7432, 7504, 7600, false}, {7432, 7512, 7608, false}}
	}
	return nil
}

// find sets the lists of the collector: of the places that the version may have them in,
// the first where the first and last object of each list link to its head and the flag of
// the collector is 0 or 1. ErrLayout: there is none. ErrCollecting: the collector runs
// now.
func (c *Census) find() error {
	for _, p := range places(c.t.Minor) {
		base := c.t.Interp
		if p.inRuntime {
			base = c.t.Runtime
		}
		if base < memory.MinAddress || base >= memory.EndAddress {
			return ErrLayout
		}
		if !c.listsAt(base, p) {
			continue
		}
		var flag [4]byte
		b := c.pages.view(base+p.collecting, 4, flag[:])
		if b == nil {
			continue
		}
		switch memory.Uint32At(b, 0) {
		case 0:
			return nil
		case 1:
			return ErrCollecting
		}
	}
	c.lists = c.lists[:0]
	return ErrLayout
}

// listsAt sets the lists at a place; false if the first or the last object of one does not
// link to its head, or cannot be read.
func (c *Census) listsAt(base uint64, p place) bool {
	c.lists = c.lists[:0]
	for i := range uint64(generations + 1) {
		head := base + p.generations + i*generation
		if i == generations {
			head = base + p.permanent
		}
		first, ok := c.pages.word(head)
		first &^= 3
		if !ok || first == 0 {
			return false
		}
		back, ok := c.pages.word(first + 8)
		last, ok2 := c.pages.word(head + 8)
		if !ok || !ok2 || back&^3 != head || last&^3 == 0 {
			return false
		}
		on, ok := c.pages.word(last &^ 3)
		if !ok || on&^3 != head {
			return false
		}
		c.lists = append(c.lists, list{head, first})
	}
	return true
}
