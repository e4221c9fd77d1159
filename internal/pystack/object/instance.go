package object

// Attribute returns an attribute that an instance has itself: neither one of its
// class nor a slot.
func (r *Reader) Attribute(obj uint64, k *Key) (uint64, bool) {
	t, ok := r.TypeOf(obj)
	if !ok {
		return 0, false
	}
	if t.flags&flagManaged == 0 || r.layout.managed == managedNone {
		return r.plain(obj, t, k)
	}
	if obj < 64 { // Word refuses what is below
		return 0, r.alien()
	}
	switch r.layout.managed {
	case managedApart:
		if values, ok := r.Word(obj - 32); !ok || values != 0 {
			return r.shared(t, values, k)
		}
		return r.own(obj-24, k)
	case managedUnion:
		if word, ok := r.Word(obj - 24); !ok || word&1 != 0 {
			return r.shared(t, word+1, k)
		}
		return r.own(obj-24, k)
	default:
		return r.within(obj, t, k)
	}
}

// within looks a key up in an instance of 3.13 and later.
func (r *Reader) within(obj uint64, t Type, k *Key) (uint64, bool) {
	if dict, ok := r.Word(obj - 24); !ok || dict != 0 || t.flags&flagInline == 0 {
		return r.own(obj-24, k)
	}
	var valid [1]byte
	values := obj + t.basic
	if !r.Read(values+3, valid[:]) || valid[0] != 1 {
		return 0, false
	}
	return r.shared(t, values+r.layout.valuesHead, k)
}

// own looks a key up in the dict whose address is at an address.
func (r *Reader) own(at uint64, k *Key) (uint64, bool) {
	dict, ok := r.Word(at)
	if !ok || dict == 0 {
		return 0, false
	}
	return r.Lookup(dict, k)
}

// plain looks a key up in the dict of an instance of a type that says where.
func (r *Reader) plain(obj uint64, t Type, k *Key) (uint64, bool) {
	switch {
	case t.dictOffset > 0:
		return r.own(obj+uint64(t.dictOffset), k)
	case t.dictOffset == 0 || t.flags&flagInt != 0 && r.layout.longTag:
		return 0, false // ints of 3.12 have no such count
	}
	size, ok := r.Field(obj, 16)
	if !ok {
		return 0, false
	}
	if signed := int64(size); signed < 0 {
		size = uint64(-signed)
	}
	const items = 1 << 24
	if size > items {
		r.Counts.Long++
		return 0, false
	}
	end := (t.basic + size*t.item + 7) &^ 7
	return r.own(obj+end-uint64(-t.dictOffset), k)
}

// shared looks a key up among those that the instances of a class share.
func (r *Reader) shared(t Type, values uint64, k *Key) (uint64, bool) {
	if t.flags&flagHeap == 0 {
		return 0, r.alien()
	}
	keys, ok := r.Field(t.Addr, r.layout.cachedKeys)
	if !ok || keys == 0 {
		return 0, false
	}
	table, ok := r.table(keys)
	if !ok {
		return 0, false
	}
	table.values = values
	return r.find(table, k)
}

// Module returns the module of a name that an interpreter has imported, such as
// "asyncio.tasks": sys.modules of the interpreter whose state is at that address.
func (r *Reader) Module(interpreter uint64, k *Key) (uint64, bool) {
	modules, ok := r.Word(interpreter + r.layout.modules)
	if !ok {
		return 0, false
	}
	return r.Lookup(modules, k)
}

// ModuleAttribute returns a variable of a module.
func (r *Reader) ModuleAttribute(module uint64, k *Key) (uint64, bool) {
	dict, ok := r.ModuleDict(module)
	if !ok {
		return 0, false
	}
	return r.Lookup(dict, k)
}
