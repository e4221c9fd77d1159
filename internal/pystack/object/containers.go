package object

// Tuple calls do for each item of a tuple with its index, until do returns false. Items
// that are still NULL are left out. It returns false if obj is no tuple, has more than
// 4,096 items, or could not be read to where do stopped.
func (r *Reader) Tuple(obj uint64, do func(i int, item uint64) bool) bool {
	n, ok := r.TupleLen(obj)
	for i := 0; ok && i < n; i++ {
		item, read := r.Field(obj, r.layout.tupleItems+8*uint64(i))
		if !read {
			return false
		}
		if item != 0 && !do(i, item) {
			return true
		}
	}
	return ok
}

// TupleLen returns how many items a tuple has; false if obj is no tuple, has more than
// 4,096 or cannot be read.
func (r *Reader) TupleLen(obj uint64) (int, bool) {
	if !r.Is(obj, Tuple) {
		return 0, false
	}
	return r.count(obj, 16)
}

// count returns the number of items at an offset of an object's head; false if it cannot
// be read or is above MaxItems, which is counted.
func (r *Reader) count(obj, offset uint64) (int, bool) {
	n, ok := r.Field(obj, offset)
	if !ok {
		return 0, false
	}
	if n > MaxItems {
		r.Counts.Many++
		return 0, false
	}
	return int(n), true
}

// List calls do for each item of a list with its index, without NULL, until do returns
// false. It returns false if obj is no list, has more than 4,096 items, makes no sense,
// or could not be read to where do stopped.
func (r *Reader) List(obj uint64, do func(i int, item uint64) bool) bool {
	if !r.Is(obj, List) {
		return false
	}
	n, ok := r.count(obj, 16)
	if !ok || n == 0 {
		return ok
	}
	items, ok := r.Field(obj, 24)
	room, ok2 := r.Field(obj, 32)
	if !ok || !ok2 {
		return false
	}
	if room < uint64(n) {
		return r.alien()
	}
	for i := range n {
		item, read := r.Word(items + 8*uint64(i))
		if !read {
			return false
		}
		if item != 0 && !do(i, item) {
			return true
		}
	}
	return true
}

// Set calls do for each item of a set or a frozenset until do returns false. It returns
// false if obj is no set, makes no sense, could not be read to where do stopped, or has a
// table of more than 16,384 places, which is not read.
func (r *Reader) Set(obj uint64, do func(item uint64) bool) bool {
	used, mask, table, ok := r.setTable(obj)
	if !ok {
		return false
	}
	for i := uint64(0); used > 0 && i <= mask; i++ {
		key, ok := r.Word(table + 16*i)
		hash, ok2 := r.Word(table + 16*i + 8)
		if !ok || !ok2 {
			return false
		}
		if key == 0 || hash == ^uint64(0) { // free, or the mark of one that was taken out
			continue
		}
		used--
		if !do(key) {
			return true
		}
	}
	return true
}

// setTable returns how many items a set has, the number of its places less one and the
// address of the first; ok is false if obj is no set, makes no sense or cannot be read, or
// has more than 16,384 places.
func (r *Reader) setTable(obj uint64) (used, mask, table uint64, ok bool) {
	if !r.Is(obj, Set) {
		return 0, 0, 0, false
	}
	used, ok = r.Field(obj, 24)
	mask, ok2 := r.Field(obj, 32)
	table, ok3 := r.Field(obj, 40)
	if !ok || !ok2 || !ok3 {
		return 0, 0, 0, false
	}
	if mask >= 4*MaxItems {
		r.Counts.Many++
		return 0, 0, 0, false
	}
	if used > mask+1 || mask&(mask+1) != 0 {
		return 0, 0, 0, r.alien()
	}
	return used, mask, table, true
}

// Cell returns the address of what a cell holds; false if obj is no cell or an empty one,
// or cannot be read.
func (r *Reader) Cell(obj uint64) (uint64, bool) { return r.pointer(obj, Cell, 16) }

// ModuleDict returns the address of the dict of a module; false if obj is no module or
// cannot be read.
func (r *Reader) ModuleDict(obj uint64) (uint64, bool) { return r.pointer(obj, Module, 16) }

// FunctionCode returns the address of the code object of a function, whose type is not
// checked; false if obj is no function or cannot be read.
func (r *Reader) FunctionCode(obj uint64) (uint64, bool) {
	return r.pointer(obj, Function, r.layout.function)
}

// FunctionName returns the address of the qualified name of a function, which is not
// checked to be a str; false if obj is no function or cannot be read.
func (r *Reader) FunctionName(obj uint64) (uint64, bool) {
	return r.pointer(obj, Function, r.layout.qualName)
}

// MethodSelf returns the address of the object that a method is bound to; false if obj is
// no method or cannot be read.
func (r *Reader) MethodSelf(obj uint64) (uint64, bool) { return r.pointer(obj, Method, 24) }

// pointer returns the address in a field of an object; false if the object is not of that
// kind, the field is NULL or cannot be read.
func (r *Reader) pointer(obj uint64, kind Kind, offset uint64) (uint64, bool) {
	if !r.Is(obj, kind) {
		return 0, false
	}
	p, ok := r.Field(obj, offset)
	return p, ok && p != 0
}

// WeakrefTarget returns the address of what a weak reference refers to; false if obj is
// none or cannot be read, or the target is gone.
func (r *Reader) WeakrefTarget(obj uint64) (uint64, bool) {
	target, ok := r.pointer(obj, Weakref, 16)
	return target, ok && !r.IsNone(target)
}
