package object

import "bytes"

// Kind is what a type is, as far as this package has readers for it.
type Kind int

// Kinds of types. Those that may have subclasses include them.
const (
	Other Kind = iota
	Str
	Int
	Bytes
	Tuple
	List
	Dict
	Bool
	Float
	None
	Set
	Cell
	Datetime
	Module
	Function
	Method
	Weakref
	Code
	Coroutine
	Generator
	AsyncGenerator
	Awaitable // one that is only a hull around the next
	Class     // a type itself
)

// Flags of types (Include/object.h).
const (
	flagInline  = 1 << 2 // 3.13: values inside the object
	flagManaged = 1 << 4
	flagHeap    = 1 << 9
	flagInt     = 1 << 24
	flagList    = 1 << 25
	flagTuple   = 1 << 26
	flagBytes   = 1 << 27
	flagStr     = 1 << 28
	flagDict    = 1 << 29
	flagClass   = 1 << 31
)

// Type is a type of a process.
type Type struct {
	Addr       uint64
	Kind       Kind
	flags      uint64
	basic      uint64 // size of an object, in bytes
	item       uint64 // size of each item behind it
	dictOffset int64
	name       uint64 // address of the name in UTF-8
}

// TypeOf returns the type of an object; false if it cannot be read or makes no sense.
func (r *Reader) TypeOf(obj uint64) (Type, bool) {
	addr, ok := r.Field(obj, 8)
	if !ok {
		return Type{}, false
	}
	return r.Type(addr)
}

// Type returns the type at an address; false if it cannot be read or makes no sense.
func (r *Reader) Type(addr uint64) (Type, bool) {
	if t, ok := r.static[addr]; ok {
		return t, true
	}
	t := Type{Addr: addr}
	var ok [5]bool
	var offset uint64
	t.name, ok[0] = r.Field(addr, 24)
	if !ok[0] {
		return Type{}, false
	}
	t.basic, ok[1] = r.Field(addr, 32)
	t.item, ok[2] = r.Field(addr, 40)
	t.flags, ok[3] = r.Field(addr, 168)
	offset, ok[4] = r.Field(addr, 288)
	t.dictOffset = int64(offset)
	const sizes = 1 << 24 // bytes; no object is larger without its items
	if ok != [5]bool{true, true, true, true, true} || t.basic < 16 || t.basic > sizes || t.item > sizes || t.dictOffset > sizes || t.dictOffset < -sizes {
		return Type{}, r.alien()
	}
	t.Kind = flagged(t.flags)
	// The types below are part of the interpreter; a class of the same name is not.
	if t.flags&flagHeap == 0 && (t.Kind == Other || t.Kind == Int) {
		var room [nameMost]byte
		if kind := named(r.typeName(t, room[:0])); kind != Other {
			t.Kind = kind
		}
	}
	if t.flags&flagHeap == 0 && len(r.static) < typesMost {
		r.static[addr] = t
	}
	return t, true
}

// flagged returns the kind of a type that its flags (tp_flags) state; Other if they state
// none.
func flagged(flags uint64) Kind {
	switch {
	case flags&flagStr != 0:
		return Str
	case flags&flagInt != 0:
		return Int
	case flags&flagDict != 0:
		return Dict
	case flags&flagTuple != 0:
		return Tuple
	case flags&flagList != 0:
		return List
	case flags&flagBytes != 0:
		return Bytes
	case flags&flagClass != 0:
		return Class
	}
	return Other
}

// named returns the kind of a type by its name; Other for a name that is not known, and for
// the kinds that [flagged] returns, such as str.
func named(name []byte) Kind {
	switch string(name) {
	case "bool":
		return Bool
	case "float":
		return Float
	case "NoneType":
		return None
	case "set", "frozenset":
		return Set
	case "cell":
		return Cell
	case "datetime.datetime":
		return Datetime
	case "module":
		return Module
	case "function":
		return Function
	case "method":
		return Method
	case "weakref", "weakref.ReferenceType":
		return Weakref
	case "code":
		return Code
	case "coroutine":
		return Coroutine
	case "generator":
		return Generator
	case "async_generator":
		return AsyncGenerator
	case "async_generator_asend", "async_generator_athrow", "coroutine_wrapper":
		return Awaitable
	}
	return Other
}

// typeName appends the name of a type to dst, cut after 96 to 103 bytes, and returns it;
// dst unchanged if the name cannot be read.
func (r *Reader) typeName(t Type, dst []byte) []byte {
	var line [8]byte
	start := len(dst)
	for addr := t.name; len(dst)-start < nameMost; addr += 8 - addr%8 {
		part := line[:8-addr%8]
		if !r.Read(addr, part) {
			return dst[:start]
		}
		name, _, ends := bytes.Cut(part, []byte{0})
		if dst = append(dst, name...); ends {
			return dst
		}
	}
	r.Counts.Long++
	return dst
}

// TypeName appends the name of an object's type to dst, such as "int" or
// "datetime.datetime", cut after 96 to 103 bytes, and returns it; dst as it was, and false,
// if it cannot be read. Types written in Python have their name without the module.
func (r *Reader) TypeName(dst []byte, obj uint64) ([]byte, bool) {
	t, ok := r.TypeOf(obj)
	if !ok {
		return dst, false
	}
	n := len(dst)
	dst = r.typeName(t, dst)
	return dst, len(dst) > n
}

// Is reports whether an object is of a kind; false too if it cannot be read. One of
// another kind is counted as alien.
func (r *Reader) Is(obj uint64, kind Kind) bool {
	t, ok := r.TypeOf(obj)
	if !ok {
		return false
	}
	if t.Kind != kind {
		return r.alien()
	}
	return true
}
