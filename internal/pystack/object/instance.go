package object

// Attribute returns the address of an attribute that an instance has itself, neither one
// of its class nor a slot; false if it has none of that name, or it cannot be read.
func (r *Reader) Attribute(obj uint64, k *Key) (uint64, bool) {
	t, ok := r.attributes(obj)
	if !ok {
		return 0, false
	}
	return r.find(t, k)
}

// attributes returns the table of the attributes that an instance has itself; false if it
// has none or cannot be read.
func (r *Reader) attributes(obj uint64) (table, bool) {
	t, ok := r.TypeOf(obj)
	if !ok {
		return table{}, false
	}
	if t.flags&flagManaged == 0 || r.layout.managed == managedNone {
		return r.plain(obj, t)
	}
	if obj < 64 { // Word refuses what is below
		return table{}, r.alien()
	}
	switch r.layout.managed {
	case managedApart:
		if values, ok := r.Word(obj - 32); !ok || values != 0 {
			return r.shared(t, values)
		}
		return r.own(obj - 24)
	case managedUnion:
		if word, ok := r.Word(obj - 24); !ok || word&1 != 0 {
			return r.shared(t, word+1)
		}
		return r.own(obj - 24)
	default:
		return r.within(obj, t)
	}
}

// within returns the table of the attributes of an instance of 3.13 and later, which may
// lie in the instance; false if it has none or they cannot be read.
func (r *Reader) within(obj uint64, t Type) (table, bool) {
	if dict, ok := r.Word(obj - 24); !ok || dict != 0 || t.flags&flagInline == 0 {
		return r.own(obj - 24)
	}
	var valid [1]byte
	values := obj + t.basic
	if !r.Read(values+3, valid[:]) || valid[0] != 1 {
		return table{}, false
	}
	return r.shared(t, values+r.layout.valuesHead)
}

// own returns the table of the dict whose address is at an address; false if there is none
// or it cannot be read.
func (r *Reader) own(at uint64) (table, bool) {
	dict, ok := r.Word(at)
	if !ok || dict == 0 {
		return table{}, false
	}
	return r.dictTable(dict)
}

// plain returns the table of an instance's __dict__, which is at the offset that the type
// states; false if there is none or it cannot be read, for an int of 3.12 and later whose
// offset counts from its end, and for such an object of more than 2^24 items.
func (r *Reader) plain(obj uint64, t Type) (table, bool) {
	switch {
	case t.dictOffset > 0:
		return r.own(obj + uint64(t.dictOffset))
	case t.dictOffset == 0 || t.flags&flagInt != 0 && r.layout.longTag:
		return table{}, false // ints of 3.12 have no such count
	}
	size, ok := r.Field(obj, 16)
	if !ok {
		return table{}, false
	}
	if signed := int64(size); signed < 0 {
		size = uint64(-signed)
	}
	const items = 1 << 24
	if size > items {
		r.Counts.Long++
		return table{}, false
	}
	end := (t.basic + size*t.item + 7) &^ 7
	return r.own(obj + end - uint64(-t.dictOffset))
}

// shared returns the table of attributes whose names the instances of a class share and
// whose values are at an address; false if the class has none or cannot be read.
func (r *Reader) shared(t Type, values uint64) (table, bool) {
	if t.flags&flagHeap == 0 {
		return table{}, r.alien()
	}
	keys, ok := r.Field(t.Addr, r.layout.cachedKeys)
	if !ok || keys == 0 {
		return table{}, false
	}
	out, ok := r.table(keys)
	out.values = values
	return out, ok
}

// Module returns the address of what sys.modules of an interpreter has by a name such as
// "asyncio.tasks", which need not be a module; false if it has nothing, or that cannot be
// read. interpreter is the address of its state.
func (r *Reader) Module(interpreter uint64, k *Key) (uint64, bool) {
	modules, ok := r.Word(interpreter + r.layout.modules)
	if !ok {
		return 0, false
	}
	return r.Lookup(modules, k)
}

// ModuleAttribute returns the address of the value of a variable of a module; false if the
// module has none of that name or cannot be read.
func (r *Reader) ModuleAttribute(module uint64, k *Key) (uint64, bool) {
	dict, ok := r.ModuleDict(module)
	if !ok {
		return 0, false
	}
	return r.Lookup(dict, k)
}
