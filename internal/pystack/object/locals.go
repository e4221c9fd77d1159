package object

// slotMost is how many local variables of a function are looked through.
const slotMost = 64

// Slots is where a frame has a variable: two places at most, since an argument
// that an inner function uses moves to a cell. -1: none.
type Slots [2]int16

// Slots looks names up among the local variables of a code object, the first so
// many of them (all where most is 0), and writes where a frame has each.
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

// noteAll notes the slots of the names in a tuple of a code object, the first of
// which has the slot from, and returns how many the tuple has.
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

// note writes a slot to the name that it has, if it is wanted.
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

// short reads a str of at most 64 characters of Latin-1 and returns how many it
// has.
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

// Local returns the value of a variable of a frame, which the address of the
// interpreter's own frame tells. A variable that has no value yet has none.
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

// untag returns the address that a value of a frame is, which NULL and a small int
// in the value itself (3.14) are not.
func (r *Reader) untag(value uint64) (uint64, bool) {
	if r.layout.tagged {
		if value&3 == 3 {
			return 0, false
		}
		value &^= 3
	}
	return value, value != 0
}
