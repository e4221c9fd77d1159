package object

import (
	"encoding/binary"

	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
)

const (
	keyMost  = 64           // characters of a key that can be looked up
	bulkSize = 72 + keyMost // bytes that are read of each key: its head and its characters
	triesOld = 4            // places of earlier finds that are tried first
)

// Key is a name that is looked up again and again at the same place of a program.
// It remembers at which places of tables it was found.
type Key struct {
	name   string
	recent [triesOld]uint32 // place + 1
}

// NewKey returns the key of a name for lookups in dicts. The name has at most 64
// characters, all of ASCII; a longer one is cut.
func NewKey(name string) *Key { return &Key{name: name[:min(len(name), keyMost)]} }

// found records a place of the table as the one where the key was found last.
func (k *Key) found(i int) {
	place := uint32(i) + 1
	for j := range k.recent {
		if k.recent[j] == place || j == len(k.recent)-1 {
			copy(k.recent[1:j+1], k.recent[:j])
			k.recent[0] = place
			return
		}
	}
}

// table is the keys of a dict, or of the instances of a class.
type table struct {
	entries uint64 // address
	stride  uint64 // bytes of an entry
	key     uint64 // offset of the key within it
	n       int    // entries in use, holes included
	values  uint64 // address of the values of a split table; 0: each follows its key
}

// table returns the table of a keys object, of whose entries at most the first 8,192 are
// looked through; false if it cannot be read or makes no sense.
func (r *Reader) table(keys uint64) (table, bool) {
	if r.layout.newKeys {
		return r.newTable(keys)
	}
	size, ok := r.Word(keys + 8)
	n, ok2 := r.Word(keys + 32)
	if !ok || !ok2 {
		return table{}, false
	}
	if size > 1<<40 || size&(size-1) != 0 || n > size {
		return table{}, r.alien()
	}
	width := uint64(8)
	switch {
	case size <= 0xff:
		width = 1
	case size <= 0xffff:
		width = 2
	case size <= 0xffffffff:
		width = 4
	}
	return r.bounded(table{entries: keys + 40 + size*width, stride: 24, key: 8}, n)
}

// newTable returns the table of a keys object of 3.11 and later, with at most 8,192
// entries; false if it cannot be read or makes no sense.
func (r *Reader) newTable(keys uint64) (table, bool) {
	const general, unicode, split = 0, 1, 2
	head, ok := r.Word(keys + 8)
	n, ok2 := r.Word(keys + 24)
	if !ok || !ok2 {
		return table{}, false
	}
	size, bytes, kind := head&0xff, head>>8&0xff, head>>16&0xff
	if size > 40 || bytes > 43 || bytes < size || kind > split || n > 1<<size {
		return table{}, r.alien()
	}
	t := table{entries: keys + 32 + 1<<bytes, stride: 16}
	if kind == general {
		t.stride, t.key = 24, 8
	}
	return r.bounded(t, n)
}

// bounded returns a table with its number of entries, at most 8,192, as no more are looked
// through; false if the entries cannot be at their address.
func (r *Reader) bounded(t table, n uint64) (table, bool) {
	if n > MaxEntries {
		r.Counts.Many++
		n = MaxEntries
	}
	t.n = int(n)
	if memory.Check(t.entries, 0) != nil || t.entries%8 != 0 {
		return table{}, r.alien()
	}
	return t, true
}

// entry returns the key and the value at a place, as the table has them now; ok is false
// if the place is empty or cannot be read.
func (r *Reader) entry(t table, i int) (key, value uint64, ok bool) {
	at := t.entries + uint64(i)*t.stride + t.key
	key, ok = r.Word(at)
	if !ok || key == 0 {
		return 0, 0, false
	}
	if t.values != 0 {
		at = t.values + 8*uint64(i) - 8
	}
	value, ok = r.Word(at + 8)
	return key, value, ok && value != 0
}

// find returns the address of the value of a key; false if none of the entries that can be
// read has it. It looks first where the key was found before.
func (r *Reader) find(t table, k *Key) (uint64, bool) {
	for _, place := range k.recent {
		if place == 0 || int(place) > t.n {
			continue
		}
		if key, value, ok := r.entry(t, int(place)-1); ok && r.Equals(key, k.name) {
			k.found(int(place) - 1)
			return value, true
		}
	}
	for from := 0; from < t.n; from += memory.MaxParts {
		if i, ok := r.scan(t, from, min(memory.MaxParts, t.n-from), k.name); ok {
			if key, value, ok := r.entry(t, i); ok && r.Equals(key, k.name) {
				k.found(i)
				return value, true
			}
			return 0, false
		}
	}
	return 0, false
}

// scan returns the first place whose key looks like a name, see [Reader.named], among n
// entries of a table, from one on; false if there is none, or the entries cannot be read.
// It needs two reads, and one for each key if not all keys can be read.
func (r *Reader) scan(t table, from, n int, name string) (int, bool) {
	var raw [memory.MaxParts * 24]byte
	entries := r.room.bulk[:uint64(n)*t.stride]
	r.room.parts[0] = memory.Part{Addr: t.entries + uint64(from)*t.stride, Into: entries}
	if r.mem.Read(r.room.parts[:1]...) != nil {
		r.Counts.Wild++
		return 0, false
	}
	copy(raw[:], entries)
	want := r.layout.shift + r.layout.strASCII + uint64(len(name))
	var places [memory.MaxParts]int
	keys := 0
	for i := range n {
		addr := binary.LittleEndian.Uint64(raw[uint64(i)*t.stride+t.key:])
		if addr == 0 || addr%8 != 0 || memory.Check(addr, int(want)) != nil {
			continue
		}
		r.room.parts[keys] = memory.Part{Addr: addr, Into: r.room.bulk[keys*bulkSize:][:want]}
		places[keys] = from + i
		keys++
	}
	if keys > 0 && r.mem.Read(r.room.parts[:keys]...) != nil {
		return r.scanEach(places[:keys], name)
	}
	for i, place := range places[:keys] {
		if r.named(r.room.parts[i].Into, name) {
			return place, true
		}
	}
	return 0, false
}

// scanEach returns the place of the first key in the room's parts that looks like a name;
// false if there is none. It reads them one by one, because one of them, such as a
// number, lies at the end of a mapping; those that cannot be read are left out.
func (r *Reader) scanEach(places []int, name string) (int, bool) {
	for i, place := range places {
		part := r.room.parts[i]
		if r.room.read(r.mem, part.Addr, part.Into) && r.named(part.Into, name) {
			return place, true
		}
	}
	return 0, false
}

// named reports whether the bytes of an object look like a compact ASCII str with the
// characters of name. The caller must prove that it is a str.
func (r *Reader) named(raw []byte, name string) bool {
	head := raw[r.layout.shift:]
	return binary.LittleEndian.Uint64(head[16:]) == uint64(len(name)) && head[32]&(stateCompact|stateASCII) == stateCompact|stateASCII &&
		string(head[r.layout.strASCII:]) == name
}

// Lookup returns the address of the value of a key of a dict; false if dict is no dict,
// has no such key in its first 8,192 places or cannot be read.
func (r *Reader) Lookup(dict uint64, k *Key) (uint64, bool) {
	t, ok := r.dictTable(dict)
	if !ok {
		return 0, false
	}
	return r.find(t, k)
}

// dictTable returns the table of a dict; false if dict is no dict or cannot be read.
func (r *Reader) dictTable(dict uint64) (table, bool) {
	if !r.Is(dict, Dict) {
		return table{}, false
	}
	keys, ok := r.Field(dict, 32)
	values, ok2 := r.Field(dict, 40)
	if !ok || !ok2 {
		return table{}, false
	}
	t, ok := r.table(keys)
	if ok && values != 0 {
		t.values = values + r.layout.valuesHead
	}
	return t, ok
}
