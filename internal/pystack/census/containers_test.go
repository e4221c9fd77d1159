package census_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/pystack/census"
)

// fakes is a program with more objects than containers are kept whose classes are called
// as containers are, and with true containers.
const fakes = `
import collections, functools, sys
n = 70000
class Fake:
    __slots__ = tuple("abcdefgh")
    def __init__(self):
        for name in Fake.__slots__:
            setattr(self, name, self)
fakes = []
for name in "set", "collections.deque", "functools._lru_cache_wrapper":
    fake = type(name, (Fake,), {"__slots__": ()})
    fakes.append([fake() for _ in range(5000)])
class set(set):
    pass
a_list, a_tuple, a_deque, a_set = list(range(n)), tuple([[i] for i in range(n)]), collections.deque([[i] for i in range(n)]), set(range(n))
a_dict, texts, ordered = {i: [i] for i in range(n)}, {str(i): [i] for i in range(n)}, collections.OrderedDict((i, [i]) for i in range(n))
atomic = {i: i for i in range(n)}
@functools.lru_cache(maxsize=None)
def cached(i):
    return [i]
for i in range(n):
    cached(i)
for i in range(n - 20, n):
    del a_dict[i], texts[str(i)]
` + ready

// Objects of classes that are only called as containers are displace no true ones, and
// large containers are kept.
func TestFakes(t *testing.T) {
	each(t, func(t *testing.T, python string) {
		p := runSource(t, python, fakes, new(struct{}))
		h := p.walk()
		h.Containers = append(h.Containers, p.search(nil, nil).Untracked()...)
		names := p.find(addrs(h), nil).Names
		got := map[string]census.Container{}
		for _, c := range h.Containers {
			if c.Items > 80_000 {
				t.Fatalf("%s at %#x has %d items", c.Kind, c.Addr, c.Items)
			}
			got[names[c.Addr]] = c
		}
		for name, kind := range map[string]census.Kind{
			"a_list": census.List, "a_tuple": census.Tuple, "a_deque": census.Deque, "a_set": census.Set, "cached": census.LRUCache,
			"a_dict": census.Dict, "texts": census.Dict, "ordered": census.Dict, "atomic": census.Dict,
		} {
			if c := got["__main__."+name]; c.Kind != kind || c.Items < 69_000 {
				t.Errorf("%s is %+v", name, c)
			}
		}
	})
}

// removed is a program whose containers had other items before, of which marks and pointers
// are left.
const removed = `
import collections, json, sys
no = [("no", i) for i in range(20)]
a_set = set(("no", i) for i in range(60))
for i in range(60):
    a_set.remove(("no", i))
a_set.update(float(i) for i in range(3))
a_deque, empty, long = collections.deque(no + [1.5] * 8), collections.deque(no), collections.deque(no + [3.5] * 200)
for _ in no:
    a_deque.popleft()
    empty.pop()
print(json.dumps({name: id(globals()[name]) for name in ("a_set", "a_deque", "empty", "long")}), flush=True)
sys.stdin.readline()
`

// What was taken out of a set or a deque is none of its items.
func TestRemoved(t *testing.T) {
	each(t, func(t *testing.T, python string) {
		places := map[string]uint64{}
		p := runSource(t, python, removed, &places)
		items := p.find(slices.Collect(maps.Values(places)), nil).Items
		for name, want := range map[string]string{"a_set": "float", "a_deque": "float", "empty": "", "long": "float"} {
			if got := items[places[name]]; places[name] == 0 || got.Type != want || want != "" && (!got.Atomic || got.Bytes != 32) {
				t.Errorf("%s at %#x: %+v, want %s", name, places[name], got, want)
			}
		}
	})
}

// deep is a program with a long chain of cells and a container at its end, and another one
// in a cell of a variable.
const deep = `
import json, sys, types
chain = end = [1.5] * 20
near = types.CellType([2.5] * 20)
for _ in range(20000):
    chain = types.CellType(chain)
print(json.dumps({"end": id(end), "near": id(near.cell_contents)}), flush=True)
del end
sys.stdin.readline()
`

// Cells do not lead any number of steps away from a module.
func TestCells(t *testing.T) {
	each(t, func(t *testing.T, python string) {
		places := map[string]uint64{}
		p := runSource(t, python, deep, &places)
		names := p.find(slices.Collect(maps.Values(places)), nil).Names
		if names[places["near"]] != "__main__.near" || names[places["end"]] != "" {
			t.Errorf("%v of %v", names, places)
		}
	})
}

// changing is a program whose containers are other ones after a line on the standard input.
const changing = `
import json, sys
rows, kept, other = [[i] for i in range(1000)], [[i] for i in range(1000)], [[i] for i in range(1000)]
print(json.dumps({name: id(globals()[name]) for name in ("rows", "kept", "other")}), flush=True)
sys.stdin.readline()
rows[:] = [("no",)] * 20
del kept[:50]
print("{}", flush=True)
sys.stdin.readline()
`

// What is not the container any more that was searched for has neither a name nor items.
func TestChanged(t *testing.T) {
	each(t, func(t *testing.T, python string) {
		places := map[string]uint64{}
		p := runSource(t, python, changing, &places)
		all := slices.Collect(maps.Values(places))
		check := func(s *census.Search, want ...string) {
			t.Helper()
			p.stand()
			found, err := s.Found(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for name, addr := range places {
				_, items := found.Items[addr]
				if is := slices.Contains(want, name); items != is || (found.Names[addr] == "__main__."+name) != is {
					t.Errorf("%s: %q, items: %t", name, found.Names[addr], items)
				}
			}
		}
		s := p.search(all, nil)
		check(s, "rows", "kept", "other")
		expects := p.census.Search(all, nil)
		expects.Expect([]census.Container{{Addr: places["rows"], Kind: census.List, Items: 2000}, {Addr: places["other"], Kind: census.Deque, Items: 1000}})
		p.stand()
		if err := expects.Continue(t.Context()); err != nil {
			t.Fatal(err)
		}
		check(expects, "kept")
		p.write("")
		p.read()
		check(s, "kept", "other")
	})
}
