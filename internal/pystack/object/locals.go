package object

// slotMost is how many local variables of a function are looked through.
const slotMost = 64

// Slots is where a frame has a variable: two places at most, since an argument
// that an inner function uses moves to a cell. -1: none.
type Slots [2]int16

// Slots sets in slots where a frame of a code object has the named local variables; −1
// for one that it does not have. Of each list of names that the code has it searches the
// first ones: as many as most, or 64 if most is 0 or above that. false: code is no code
// object, has a list of more than 4,096, or cannot be read.
func (r *Reader) Slots(code uint64, most int, names []string, slots []Slots) bool {
	for i := range slots {
		slots[i] = Slots{-1, -1}
	}
	if !r.Is(code, Code) {
		return false
	}
	if most <= 0 || most > slotMost {
		most = slotMost
	}
	from := 0
	for _, offset := range [3]uint64{r.layout.varNames, r.layout.cellVars, r.layout.free} {
		if offset == 0 {
			break
		}
		n, ok := r.noteAll(code, offset, from, most, names, slots)
		if !ok {
			return false
		}
		from += n
	}
	return true
}

// noteAll sets the slots of the wanted names in a tuple of a code object, whose first
// name has the slot from; it looks at the first most. It returns how many names the tuple
// has, the others too; false if it has more than 4,096 or cannot be read.
func (r *Reader) noteAll(code, offset uint64, from, most int, names []string, slots []Slots) (int, bool) {
	tuple, ok := r.Field(code, offset)
	if !ok {
		return 0, false
	}
	n, ok := r.TupleLen(tuple)
	if !ok {
		return 0, false
	}
	for i := 0; i < n && i < most; i++ {
		name, ok := r.Field(tuple, r.layout.tupleItems+8*uint64(i))
		if !ok {
			return 0, false
		}
		r.note(name, from+i, names, slots)
	}
	return n, true
}

// note sets the slot of a name, if the name is among the wanted ones.
func (r *Reader) note(name uint64, slot int, names []string, slots []Slots) {
	var room [keyMost]byte
	n, ok := r.short(name, &room)
	if !ok {
		return
	}
	for i := range names {
		if names[i] != string(room[:n]) {
			continue
		}
		at := 0
		if slots[i][0] >= 0 {
			at = 1
		}
		if slots[i][at] < 0 {
			slots[i][at] = int16(slot)
		}
		return
	}
}

// short reads a str of at most 64 characters of Latin-1 into into and returns how many it
// has; false if obj is no such str, a longer one or cannot be read.
func (r *Reader) short(obj uint64, into *[keyMost]byte) (int, bool) {
	t, ok := r.TypeOf(obj)
	if !ok || t.Kind != Str {
		return 0, false
	}
	c, ok := r.chars(obj)
	if !ok || c.width != 1 || c.n > len(into) {
		return 0, false
	}
	return c.n, c.n == 0 || r.Read(c.addr, into[:c.n])
}

// Local returns the address of the value of a variable, from the first of its slots that
// has one, and what a cell holds instead of the cell. false: it has no value yet, is a
// small int in the frame itself (3.14) or cannot be read. frame is the address of the
// interpreter's own frame, not of a frame object.
func (r *Reader) Local(frame uint64, slots Slots) (uint64, bool) {
	for _, slot := range slots {
		if slot < 0 {
			break
		}
		value, ok := r.Word(r.frameField(frame, r.layout.locals) + 8*uint64(slot))
		if !ok {
			return 0, false
		}
		value, ok = r.untag(value)
		if !ok {
			continue
		}
		t, ok := r.TypeOf(value)
		if !ok {
			return 0, false
		}
		if t.Kind != Cell {
			return value, true
		}
		if value, ok = r.Cell(value); ok {
			return value, true
		}
	}
	return 0, false
}

// frameField returns the address of a frame's field: on 3.10 and before frames are
// objects.
func (r *Reader) frameField(frame, offset uint64) uint64 {
	if r.layout.Minor <= 10 {
		offset += r.layout.shift
	}
	return frame + offset
}

// untag returns the address of the object that a value of a frame is; false for NULL, and
// for a small int in the value itself (3.14).
func (r *Reader) untag(value uint64) (uint64, bool) {
	if r.layout.tagged {
		if value&3 == 3 {
			return 0, false
		}
		value &^= 3
	}
	return value, value != 0
}
