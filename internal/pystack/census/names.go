package census

import (
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/pystack/object"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// name returns the name of the container that the search has found, as a person would
// write it, such as shop.cache.orders or shop.Store.rows[…]: names of modules and
// attributes, never keys or values, cut to 128 bytes.
func (s *Search) name(n int32) string {
	var parts []string
	for n >= 0 {
		x := s.stops[n]
		switch x.how {
		case asModule:
			parts = append(parts, s.text(x.key))
		case asAttribute:
			parts = append(parts, "."+s.text(x.key))
		case asItem:
			parts = append(parts, "[…]")
		case asClosure:
			parts = append(parts, ".__closure__")
		case asContent:
		case asDefault:
			parts = append(parts, ".__defaults__")
		case asWrapped:
			parts = append(parts, ".__wrapped__")
		}
		n = x.from
	}
	slices.Reverse(parts)
	return clean(strings.Join(parts, ""))
}

// text returns the text of a str of the process, at most 300 characters; "?" if there is
// no str, or an empty one.
func (s *Search) text(str uint64) string {
	b, ok := s.c.objects.Str(s.c.room[:0], str)
	if !ok || len(b) == 0 {
		return "?"
	}
	return string(b)
}

// clean returns a name of a process as it may be shown: of printable characters, at most
// 128 bytes with the "…" of one that was cut.
func clean(name string) string { return text.Clip(text.Line(name), nameBytes-len("…")) }

// typeName returns the name of a type, at most 128 bytes; "?" if there is no type. The
// name of a class has its module in front, unless that is a program's main one or the
// interpreter's own.
func (c *Census) typeName(addr uint64) string {
	t, ok := c.objects.Type(addr)
	if !ok {
		return "?"
	}
	name := string(c.objects.NameOf(c.room[:0], t))
	if dict, ok := c.objects.TypeDict(addr); ok && t.Heap() {
		if m, ok := c.objects.Lookup(dict, object.NewKey("__module__")); ok {
			if b, ok := c.objects.Str(c.room[:0], m); ok && string(b) != "builtins" && string(b) != "__main__" {
				name = string(b) + "." + name
			}
		}
	}
	return clean(name)
}

// Items is what the newest items of a container are, of which a few were looked at.
type Items struct {
	Type string // of most of them; "": not known
	// Bytes is the mean size of one with what it refers to itself, but not what that
	// refers to.
	Bytes float64
	// Atomic is set if they refer to nothing, so that Bytes is all that they take.
	Atomic bool
}

// sampled is how many items of a container are looked at.
const sampled = 16

// itemsOf returns the most frequent type and the mean size in bytes, with their own parts,
// of up to 16 of the newest items of a container, and whether all of those are atomic; the
// zero value if none can be read.
func (c *Census) itemsOf(addr uint64) Items {
	out, n, sum := Items{Atomic: true}, 0, 0.0
	types := map[uint64]int{}
	best := uint64(0)
	c.newest(addr, func(item uint64) {
		t, ok := c.objects.TypeOf(item)
		if !ok || n == sampled {
			return
		}
		n++
		if types[t.Addr]++; types[t.Addr] > types[best] {
			best = t.Addr
		}
		size, atomic := c.size(item, t)
		if !atomic {
			size += c.sizeOfParts(item)
		}
		sum += size
		out.Atomic = out.Atomic && atomic
	})
	if n == 0 {
		return Items{}
	}
	out.Type, out.Bytes = c.typeName(best), sum/float64(n)
	return out
}

// size returns about how many bytes an object takes without what it refers to: a str with
// one byte a character, an int with 8 bytes, a container without its table. atomic: it is a
// bytes, a str, a bytearray, an int, a float, a bool or None. 0 and false if it cannot be
// read.
func (c *Census) size(obj uint64, t object.Type) (bytes float64, atomic bool) {
	n, ok := c.objects.Field(obj, atSize)
	if !ok {
		return 0, false
	}
	switch t.Kind {
	case object.Bytes, object.Str: // of a str the characters, most of which take one byte
		return float64(t.Size(0) + min(n, 1<<40)), true
	case object.Int, object.Float, object.Bool, object.None:
		return float64(t.Size(0) + 8), true
	default:
	}
	if string(c.objects.NameOf(c.room[:0], t)) == "bytearray" {
		return float64(t.Size(0) + min(n, 1<<40)), true
	}
	return float64(t.Size(0)), false
}

// sizeOfParts returns how many bytes the items of a list or tuple or the values of a dict
// take, without what they refer to, estimated by up to 16 of them; of any other object, the
// bytes of up to 16 of its attributes. 0 if none can be read, and for a list or tuple of
// more than 4,096 items; of a larger dict it is the bytes of 4,096 values.
func (c *Census) sizeOfParts(obj uint64) float64 {
	seen, sum := 0, 0.0
	one := func(value uint64) bool {
		if t, ok := c.objects.TypeOf(value); ok {
			size, _ := c.size(value, t)
			sum += size
			seen++
		}
		return seen < sampled
	}
	listed := func(_ int, value uint64) bool { return one(value) }
	entry := func(_, value uint64) bool { return one(value) }
	switch c.typeOfObject(obj).holds {
	case List:
		c.objects.List(obj, listed)
	case Tuple:
		c.objects.Tuple(obj, listed)
	case Dict:
		c.objects.Entries(obj, entry)
	default:
		c.objects.Attributes(obj, entry)
		return sum
	}
	if n, ok := c.objects.Field(obj, atSize); ok && seen > 0 {
		sum *= float64(min(n, object.MaxItems)) / float64(seen)
	}
	return sum
}

// newest calls do for some items of a container, the newest ones if their order is known.
func (c *Census) newest(addr uint64, do func(item uint64)) {
	r := c.objects
	word := func(at uint64) uint64 { w, _ := c.pages.word(at); return w }
	switch c.typeOfObject(addr).holds {
	case List:
		n, _ := r.Field(addr, atSize)
		items, ok := r.Field(addr, 24)
		for i := min(n, sampled); ok && i > 0; i-- {
			do(word(items + 8*(n-i)))
		}
	case Tuple:
		r.Tuple(addr, func(_ int, item uint64) bool { do(item); return true })
	case Dict:
		r.LastEntries(addr, sampled, func(_, value uint64) bool { do(value); return true })
	case Set:
		table, ok := r.Field(addr, 40)
		mask, _ := r.Field(addr, 32)
		for i := uint64(0); ok && i <= min(mask, 4*sampled); i++ {
			if key := word(table + 16*i); key != 0 && word(table+16*i+8) != ^uint64(0) { // the mark of one that was taken out
				do(key)
			}
		}
	case Deque:
		c.newestOfDeque(addr, do)
	case LRUCache:
		c.newestOfCache(addr, do)
	case "":
	}
}

// blockItems is how many items a block of a deque has.
const blockItems = 64

// newestOfDeque calls do for the last items of a deque: those of its last block, behind
// two links. The first block may be the same; what lies before its first item is left
// over.
func (c *Census) newestOfDeque(addr uint64, do func(item uint64)) {
	first, ok := c.objects.Field(addr, 24)
	block, ok2 := c.objects.Field(addr, 32)
	left, ok3 := c.objects.Field(addr, 40)
	at, ok4 := c.objects.Field(addr, 48)
	if !ok || !ok2 || !ok3 || !ok4 || at >= blockItems {
		return
	}
	if first != block {
		left = 0
	}
	for i := uint64(0); i < sampled && left+i <= at; i++ {
		item, _ := c.pages.word(block + 8 + 8*(at-i))
		do(item)
	}
}

// newestOfCache calls do for the last results of an lru_cache. Each one of a cache with a
// limit is in a link of a list.
func (c *Census) newestOfCache(addr uint64, do func(item uint64)) {
	dict, _ := c.objects.Field(addr, atCache)
	c.objects.LastEntries(dict, sampled, func(_, value uint64) bool {
		if name, ok := c.objects.TypeName(c.room[:0], value); ok && string(name) == "functools._lru_list_elem" {
			value, _ = c.pages.word(value + c.t.Objects.Shift() + 48)
		}
		do(value)
		return true
	})
}
