package object

// Tuple calls do with each item of a tuple, its index first, until do returns
// false. Items that are still NULL are left out. It reports whether the tuple was
// read to its end or to where do stopped.
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

// TupleLen returns how many items a tuple has, at most 4,096.
func (r *Reader) TupleLen(obj uint64) (int, bool) {
	if !r.Is(obj, Tuple) {
		return 0, false
	}
	return r.count(obj, 16)
}

// TupleItem returns an item of a tuple.
func (r *Reader) TupleItem(obj uint64, i int) (uint64, bool) {
	n, ok := r.TupleLen(obj)
	if !ok || i < 0 || i >= n {
		return 0, false
	}
	item, ok := r.Field(obj, r.layout.tupleItems+8*uint64(i))
	return item, ok && item != 0
}

// count returns the number of items that an object's head has.
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

// List calls do with each item of a list until do returns false; see [Reader.Tuple].
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

// Set calls do with each item of a set or a frozenset until do returns false. It
// reports whether the set was read to its end or to where do stopped; one with a
// table of more than 16,384 places is refused.
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

// setTable returns how many items a set has, the number of its places less one and
// the address of the first.
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

// Cell returns what a cell holds. An empty one holds nothing.
func (r *Reader) Cell(obj uint64) (uint64, bool) { return r.pointer(obj, Cell, 16) }

// ModuleDict returns the dict of a module.
func (r *Reader) ModuleDict(obj uint64) (uint64, bool) { return r.pointer(obj, Module, 16) }

// FunctionCode returns the code object of a function.
func (r *Reader) FunctionCode(obj uint64) (uint64, bool) {
	return r.pointer(obj, Function, r.layout.function)
}

// FunctionName returns the qualified name of a function, a str.
func (r *Reader) FunctionName(obj uint64) (uint64, bool) {
	return r.pointer(obj, Function, r.layout.qualName)
}

// MethodSelf returns the object that a method is bound to.
func (r *Reader) MethodSelf(obj uint64) (uint64, bool) { return r.pointer(obj, Method, 24) }

// pointer returns a field of an object of a kind that has an address there.
func (r *Reader) pointer(obj uint64, kind Kind, offset uint64) (uint64, bool) {
	if !r.Is(obj, kind) {
		return 0, false
	}
	p, ok := r.Field(obj, offset)
	return p, ok && p != 0
}

// WeakrefTarget returns what a weak reference refers to, if it is still there.
func (r *Reader) WeakrefTarget(obj uint64) (uint64, bool) {
	target, ok := r.pointer(obj, Weakref, 16)
	return target, ok && !r.IsNone(target)
}
