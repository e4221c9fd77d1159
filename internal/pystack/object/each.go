package object

// Entries calls do for each key and value of a dict until do returns false, of at most
// [MaxEntries] places. It returns false if dict is no dict or its table could not be
// read; an entry that cannot be read is left out.
func (r *Reader) Entries(dict uint64, do func(key, value uint64) bool) bool {
	t, ok := r.dictTable(dict)
	return ok && r.each(t, 0, do)
}

// LastEntries calls do as [Reader.Entries] does, for the entries that were inserted last,
// in the order of their places: for the last n places of the table, without empty ones.
// It returns false if dict is no dict or its table could not be read.
func (r *Reader) LastEntries(dict uint64, n int, do func(key, value uint64) bool) bool {
	t, ok := r.dictTable(dict)
	if !ok {
		return false
	}
	if keys, ok := r.Field(dict, 32); ok && t.n == MaxEntries {
		t = r.unbounded(t, keys)
	}
	return r.each(t, max(t.n-n, 0), do)
}

// unbounded returns a table with the number of all its entries, also those beyond the
// bound; the table as it is if that number cannot be read.
func (r *Reader) unbounded(t table, keys uint64) table {
	offset := uint64(32)
	if r.layout.newKeys {
		offset = 24
	}
	if n, ok := r.Word(keys + offset); ok && n < 1<<40 { // as table has checked already
		t.n = int(n)
	}
	return t
}

// Attributes calls do for each attribute that an instance has itself, its name first,
// until do returns false, of at most [MaxEntries] places. It returns false if there is no
// table of them or it could not be read; one that cannot be read is left out.
func (r *Reader) Attributes(obj uint64, do func(key, value uint64) bool) bool {
	t, ok := r.attributes(obj)
	return ok && r.each(t, 0, do)
}

// each calls do for the entries of a table from an index on, until it returns false.
// Empty ones and those that cannot be read are left out. It returns true.
func (r *Reader) each(t table, from int, do func(key, value uint64) bool) bool {
	for i := from; i < t.n; i++ {
		if key, value, ok := r.entry(t, i); ok && !do(key, value) {
			break
		}
	}
	return true
}

// Heap reports whether a type was made at run time, as classes are.
func (t Type) Heap() bool { return t.flags&flagHeap != 0 }

// Size returns the bytes of an object of the type that has so many items behind its head;
// items above 2^40 do not count.
func (t Type) Size(items uint64) uint64 { return t.basic + t.item*min(items, 1<<40) }

// TypeBase returns the address of the first type that a type is derived from; 0 if there
// is none, or it cannot be read.
func (r *Reader) TypeBase(addr uint64) uint64 {
	base, _ := r.Field(addr, 256)
	return base
}

// TypeDict returns the address of the dict of a class, its attributes and methods; false
// if it has none or cannot be read. It does not check that there is a class.
func (r *Reader) TypeDict(addr uint64) (uint64, bool) {
	dict, ok := r.Field(addr, 264)
	return dict, ok && dict != 0
}

// NameOf appends the name of a type to dst, as [Reader.TypeName] does.
func (r *Reader) NameOf(dst []byte, t Type) []byte { return r.typeName(t, dst) }

// FunctionParts calls do for what a function refers to: the cells of its closure, a tuple;
// the defaults of its arguments, a tuple and a dict; its attributes, a dict. Parts that it
// does not have, or that cannot be read, are left out. It returns false if obj is no
// function.
func (r *Reader) FunctionParts(obj uint64, do func(part FunctionPart, value uint64)) bool {
	if !r.Is(obj, Function) {
		return false
	}
	offsets := [...]uint64{72, 56, 64, 88}
	if r.layout.Minor < 10 {
		offsets = [...]uint64{48, 32, 40, 72}
	}
	for i, offset := range offsets {
		if value, ok := r.Field(obj, offset); ok && value != 0 {
			do(FunctionPart(i), value)
		}
	}
	return true
}

// FunctionPart is one of the parts of [Reader.FunctionParts].
type FunctionPart int

// The parts of a function.
const (
	Closure FunctionPart = iota
	Defaults
	KeywordDefaults
	FunctionAttributes
)

// Modules returns the address of sys.modules of the interpreter whose state is at an
// address; false if it has none or cannot be read.
func (r *Reader) Modules(interpreter uint64) (uint64, bool) {
	modules, ok := r.Word(interpreter + r.layout.modules)
	return modules, ok && modules != 0
}
