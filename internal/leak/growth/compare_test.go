package growth_test

import (
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/leak/growth"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/pystack/census"
)

const orders, order = 0x1000, 0x2000

// counted returns three censuses of one list and one type; 0 items: the list is not there.
func counted(items, objects [3]uint64, grown float64) (out []growth.Counted) {
	for i := range items {
		c := growth.Counted{Anon: 100e6 + grown*float64(i)/2, Types: map[uint64]uint64{order: objects[i]}}
		if items[i] > 0 {
			c.Containers = []census.Container{{Addr: orders, Kind: census.List, Items: items[i]}}
		}
		out = append(out, c)
	}
	return out
}

// Only what becomes more at each census, and about evenly, grows, and it explains the
// growth of the memory only if it is large enough.
func TestJudge(t *testing.T) {
	none := [3]uint64{500, 500, 500}
	big, small := census.Items{Type: "Order"}, census.Items{Type: "int", Bytes: 32, Atomic: true}
	for name, c := range map[string]struct {
		items, objects [3]uint64
		grown          float64
		of             census.Items
		want           model.HeapOutcome
		container      bool
	}{
		"a list":                           {[3]uint64{1000, 2000, 3000}, none, 5e6, big, model.HeapGrows, true},
		"a list that begins":               {[3]uint64{0, 100, 220}, none, 5e6, big, model.HeapGrows, true},
		"objects without a list":           {none, [3]uint64{1000, 2000, 3000}, 5e6, big, model.HeapGrows, false},
		"numbers are too small for that":   {[3]uint64{1000, 2000, 3000}, none, 5e6, small, model.HeapNotPython, false},
		"enough numbers":                   {[3]uint64{10000, 60000, 110000}, none, 5e6, small, model.HeapGrows, true},
		"nothing grows":                    {none, none, 5e6, big, model.HeapNotPython, false},
		"up and down":                      {[3]uint64{1000, 3000, 2000}, [3]uint64{900, 1900, 1500}, 5e6, big, model.HeapNotPython, false},
		"a step":                           {[3]uint64{1000, 1001, 3000}, none, 5e6, big, model.HeapNotPython, false},
		"too few":                          {[3]uint64{1000, 1004, 1008}, none, 5e6, big, model.HeapNotPython, false},
		"a small share":                    {[3]uint64{1000000, 1000200, 1000400}, none, 5e6, big, model.HeapNotPython, false},
		"the memory does not grow":         {[3]uint64{1000, 2000, 3000}, none, 0, big, model.HeapSteady, true},
		"too few items for so much memory": {[3]uint64{1000, 1010, 1020}, none, 500e6, big, model.HeapNotPython, false},
	} {
		found := &census.Found{Names: map[uint64]string{orders: "shop.orders"}, Types: map[uint64]string{order: "Order"}, Items: map[uint64]census.Items{orders: c.of}}
		got := growth.Judge(counted(c.items, c.objects, c.grown), found)
		if got.Outcome != c.want || len(got.Containers) == 1 != c.container || got.Seconds != 600 || got.Growth != c.grown {
			t.Errorf("%s: %+v", name, got)
		}
		if c.container && (got.Containers[0].Name != "shop.orders" || got.Containers[0].PerHour != float64(c.items[2]-c.items[0])*6 || got.Containers[0].Count != float64(c.items[2])) {
			t.Errorf("%s: %+v", name, got.Containers[0])
		}
	}
}

// A container that was left out before, as others were larger, is not known to grow, nor
// is one whose address another kind had.
func TestJudgeUnknown(t *testing.T) {
	found := &census.Found{Items: map[uint64]census.Items{orders: {}}}
	all := counted([3]uint64{0, 2000, 3000}, [3]uint64{}, 5e6)
	all[0].Incomplete = true
	if got := growth.Judge(all, found); len(got.Containers) != 0 {
		t.Errorf("left out: %+v", got)
	}
	all = counted([3]uint64{1000, 2000, 3000}, [3]uint64{}, 5e6)
	all[0].Containers[0].Kind = census.Dict
	if got := growth.Judge(all, found); len(got.Containers) != 0 {
		t.Errorf("another kind: %+v", got)
	}
	if got := growth.Judge(all[:1], found); got.Outcome != model.HeapUnknown {
		t.Errorf("one census: %+v", got)
	}
}

// What a person can find, and what takes more memory, comes first.
func TestJudgeOrder(t *testing.T) {
	var all []growth.Counted
	for i := range uint64(3) {
		n := 1000 + 500*i
		all = append(all, growth.Counted{Anon: 1e5 * float64(i), Types: map[uint64]uint64{1: n, 2: n + 1}, Containers: []census.Container{
			{Addr: 8, Kind: census.Set, Items: n + i}, {Addr: 16, Kind: census.Dict, Items: n + 2*i}, {Addr: 24, Kind: census.List, Items: n},
		}})
	}
	got := growth.Judge(all, &census.Found{
		Names: map[uint64]string{8: "shop.seen", 24: "shop.rows"}, Types: map[uint64]string{1: "dict", 2: "Order"},
		Items: map[uint64]census.Items{8: {Type: "int", Bytes: 28, Atomic: true}, 16: {Type: "Order"}, 24: {Type: "Order"}},
	})
	if len(got.Containers) != 3 || got.Containers[0].Name != "shop.rows" || len(got.Types) != 2 || got.Types[0].Name != "Order" {
		t.Errorf("%+v", got)
	}
}

// lists returns three censuses with n lists that take by items each, objects that become
// more by so many of each of two types, and memory that grows by grown bytes.
func lists(n, by int, objects [2]int, grown float64) (out []growth.Counted) {
	for i := range 3 {
		c := growth.Counted{Anon: 100e6 + grown*float64(i)/2, Types: map[uint64]uint64{
			order: uint64(500 + i*objects[0]/2), order + 8: uint64(500 + i*objects[1]/2),
		}}
		for k := range n {
			c.Containers = append(c.Containers, census.Container{Addr: uint64(orders + 64*k), Kind: census.List, Items: uint64(500 + i*by/2)})
		}
		out = append(out, c)
	}
	return out
}

// What grows explains the growth of the memory together where its items refer to nothing,
// else the one that explains most does. Only what explains a share of it by itself is
// named, with what is likely of what was measured.
func TestJudgeShares(t *testing.T) {
	texts := census.Items{Type: "str", Bytes: 984, Atomic: true}
	numbers := census.Items{Type: "int", Bytes: 28, Atomic: true}
	for name, c := range map[string]struct {
		n, by             int
		of                census.Items
		types             [2]string
		objects           [2]int
		grown             float64
		want              model.HeapOutcome
		containers, named int // that are named, and types
	}{
		"50 lists of strings, each 2 %":           {50, 20, texts, [2]string{}, [2]int{}, 1e6, model.HeapGrows, 5, 0},
		"5 lists of strings, each 2 %":            {5, 20, texts, [2]string{}, [2]int{}, 1e6, model.HeapNotPython, 0, 0},
		"more lists than are searched":            {100, 20, texts, [2]string{}, [2]int{}, 7e6, model.HeapGrows, 5, 0},
		"numbers beside objects":                  {1, 10, numbers, [2]string{"Order"}, [2]int{9000, 0}, 500e6, model.HeapGrows, 0, 1},
		"a large object of the program":           {0, 0, texts, [2]string{"Frame", "list"}, [2]int{10, 4000}, 2.5e6, model.HeapGrows, 0, 2},
		"classes":                                 {0, 0, texts, [2]string{"type"}, [2]int{10, 0}, 2.5e6, model.HeapNotPython, 0, 0},
		"a leak of classes":                       {0, 0, texts, [2]string{"type"}, [2]int{500, 0}, 2.5e6, model.HeapGrows, 0, 1},
		"properties and deques":                   {0, 0, texts, [2]string{"property", "collections.deque"}, [2]int{10, 20}, 2.5e6, model.HeapNotPython, 0, 0},
		"another type that does not explain it":   {0, 0, texts, [2]string{"Order", "cell"}, [2]int{100, 500}, 5e6, model.HeapGrows, 0, 1},
		"few items of a size that was measured":   {1, 20, census.Items{Type: "Order", Bytes: 100}, [2]string{"Order"}, [2]int{20, 0}, 2.5e6, model.HeapNotPython, 1, 1},
		"items of a size that was measured":       {1, 200, census.Items{Type: "Order", Bytes: 500}, [2]string{"Order"}, [2]int{200, 0}, 2.5e6, model.HeapGrows, 1, 1},
		"items of which no size is known":         {1, 20, census.Items{}, [2]string{}, [2]int{}, 2.5e6, model.HeapGrows, 1, 0},
		"few items, and memory grows much":        {1, 20, census.Items{Type: "Order", Bytes: 100}, [2]string{"Order"}, [2]int{20, 0}, 500e6, model.HeapNotPython, 0, 0},
		"items that are larger than is supposed":  {1, 20, census.Items{Type: "Page", Bytes: 5e6}, [2]string{}, [2]int{}, 50e6, model.HeapGrows, 1, 0},
		"strings beside a list of other objects":  {1, 500, texts, [2]string{"Order"}, [2]int{5, 0}, 1e6, model.HeapGrows, 1, 0},
		"half of it strings, half of it its own":  {1, 150, texts, [2]string{"dict"}, [2]int{300, 0}, 1e6, model.HeapGrows, 1, 1},
		"the memory does not grow, a list does":   {1, 20, numbers, [2]string{}, [2]int{}, 0, model.HeapSteady, 1, 0},
		"numbers beside an allocator that grows":  {1, 10, numbers, [2]string{}, [2]int{}, 5e6, model.HeapNotPython, 0, 0},
		"generators that keep the variables each": {0, 0, texts, [2]string{"generator"}, [2]int{2000, 0}, 4e6, model.HeapGrows, 0, 1},
	} {
		found := &census.Found{Items: map[uint64]census.Items{}, Types: map[uint64]string{order: c.types[0], order + 8: c.types[1]}}
		for k := range c.n {
			found.Items[uint64(orders+64*k)] = c.of
		}
		got := growth.Judge(lists(c.n, c.by, c.objects, c.grown), found)
		if got.Outcome != c.want || len(got.Containers) != c.containers || len(got.Types) != c.named {
			t.Errorf("%s: %+v", name, got)
		}
		if len(got.Types) == 1 && got.Types[0].Name != c.types[0] {
			t.Errorf("%s: %+v", name, got.Types)
		}
	}
}
