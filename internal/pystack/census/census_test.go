package census_test

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/census"
	"github.com/resp-exporter/resp-exporter/internal/pystack/pystacktest"
)

// made is how many objects the program makes itself between counting and waiting.
const made = 30

// The census counts what the collector lists, by type, and permanent objects too.
func TestWalk(t *testing.T) {
	each(t, func(t *testing.T, python string) {
		p, truth := run(t, python)
		check := func(what string) {
			h := p.walk()
			if h.Objects > truth.Objects+made || h.Objects+made < truth.Objects {
				t.Errorf("%s: %d objects, the program has %d", what, h.Objects, truth.Objects)
			}
			sum := h.Other
			for _, n := range h.Types {
				sum += n
			}
			if sum != h.Objects || h.Other != 0 {
				t.Errorf("%s: %d objects by type, %d of others, of %d", what, sum, h.Other, h.Objects)
			}
			names := p.find(nil, typesOf(h)).Types
			counts := map[string]uint64{}
			for t, n := range h.Types {
				counts[names[t]] += n
			}
			if counts["Order"] != truth.Orders || counts["function"] != truth.Functions || counts["tuple"] > truth.Tuples+made || counts["tuple"]+made < truth.Tuples {
				t.Errorf("%s: %d of Order, %d functions, %d tuples, want %+v", what, counts["Order"], counts["function"], counts["tuple"], truth)
			}
		}
		check("as it is")
		p.write("free")
		p.read()
		check("in the permanent generation")
	})
}

// All containers of the program are found and named, with their kind, number of items and
// what they hold.
func TestFind(t *testing.T) {
	each(t, func(t *testing.T, python string) {
		p, truth := run(t, python)
		h := p.walk()
		h.Containers = append(h.Containers, p.search(nil, nil).Untracked()...)
		found, all := p.find(addrs(h), nil), h.Containers
		type what struct {
			kind  census.Kind
			items uint64
			of    string
		}
		got := map[string]what{}
		for _, c := range all {
			if name := found.Names[c.Addr]; name != "" {
				got[name] = what{c.Kind, c.Items, found.Items[c.Addr].Type}
			}
		}
		for name, want := range map[string]what{
			"__main__.orders":               {census.List, truth.Count, "Order"},
			"__main__.numbers":              {census.Dict, truth.Count, "str"},
			"__main__.names":                {census.Set, truth.Count, "int"},
			"__main__.queue":                {census.Deque, truth.Count, "int"},
			"__main__.ordered":              {census.Dict, truth.Count, "list"},
			"__main__.Store.rows":           {census.List, truth.Count, "tuple"},
			"__main__.store.held":           {census.List, truth.Count, "bytearray"},
			"__main__.add.__closure__":      {census.Set, truth.Count, "int"},
			"__main__.cached":               {census.LRUCache, truth.Count, "bytes"},
			"__main__.cached_pair":          {census.LRUCache, truth.Count, "list"},
			"__main__.default.__defaults__": {census.List, truth.Count, "int"},
			"__main__.groups[…]":            {census.List, truth.Count, "int"},
			"__main__.add.kept":             {census.Dict, truth.Count, "int"},
			"__main__.own":                  {census.List, truth.Count, "float"},
		} {
			if got[name] != want {
				t.Errorf("%s is %+v, want %+v", name, got[name], want)
			}
		}
	})
}

// What is in containers has its size, and bytes refer to nothing else.
func TestItems(t *testing.T) {
	each(t, func(t *testing.T, python string) {
		p, _ := run(t, python)
		h := p.walk()
		found := p.find(addrs(h), nil)
		for addr, name := range found.Names {
			i := found.Items[addr]
			switch name {
			case "__main__.store.held":
				if !i.Atomic || i.Bytes < 100 || i.Bytes > 200 {
					t.Errorf("%s: %+v", name, i)
				}
			case "__main__.cached":
				if !i.Atomic || i.Bytes < 120 || i.Bytes > 150 {
					t.Errorf("%s: %+v", name, i)
				}
			case "__main__.orders":
				if i.Atomic || i.Bytes < 16 {
					t.Errorf("%s: %+v", name, i)
				}
			}
		}
	})
}

// A process that runs is refused, and one that wakes up meanwhile is thrown away.
func TestAwake(t *testing.T) {
	p, _ := run(t, pystacktest.Pythons(t)[0])
	p.stand()
	p.write("more")
	p.read()
	if _, err := p.census.Walk(t.Context()); !errors.Is(err, census.ErrAwake) {
		t.Errorf("a process that ran: %v", err)
	}
	if err := p.census.Search(nil, nil).Continue(t.Context()); !errors.Is(err, census.ErrAwake) {
		t.Errorf("a process that ran: %v", err)
	}
	done := p.search(nil, nil)
	p.write("more")
	p.read()
	if _, err := done.Found(t.Context()); !errors.Is(err, census.ErrAwake) {
		t.Errorf("a process that ran: %v", err)
	}
	p.write("spin")
	p.read()
	for range 50 {
		if out := p.still.Stand(p.process); out != pystack.Running && out != pystack.Torn {
			t.Fatalf("a process that runs: %v", out)
		}
		if p.still.Holds() && p.still.Stand(p.process) == pystack.OK {
			t.Fatal("a process that runs stands still")
		}
	}
}

// A census ends with its context, and after its time.
func TestEnds(t *testing.T) {
	p, _ := run(t, pystacktest.Pythons(t)[0], "50000")
	p.stand()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.census.Walk(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	target, now := p.target(), time.Now()
	target.Now = func() time.Time { now = now.Add(10 * time.Second); return now }
	if _, err := census.New(target).Walk(t.Context()); !errors.Is(err, census.ErrTooMuch) {
		t.Errorf("too long: %v", err)
	}
}

// A search that is interrupted repeatedly has the same result as one without
// interruptions.
func TestSearchInParts(t *testing.T) {
	p, _ := run(t, pystacktest.Pythons(t)[0])
	h := p.walk()
	want := p.find(addrs(h), nil)
	target, calls := p.target(), 0
	target.Holds = func() bool { calls++; return calls%3 != 0 && p.still.Holds() }
	s := census.New(target).Search(addrs(h), nil)
	parts := 0
	for ; ; parts++ {
		p.stand()
		err := s.Continue(t.Context())
		if err == nil {
			break
		}
		if !errors.Is(err, census.ErrAwake) || parts > 1000 {
			t.Fatalf("part %d: %v", parts, err)
		}
	}
	var got *census.Found
	for err := census.ErrAwake; err != nil; {
		p.stand()
		got, err = s.Found(t.Context())
	}
	if parts < 2 || !maps.Equal(got.Names, want.Names) || !maps.Equal(got.Items, want.Items) {
		t.Errorf("%d parts, %d names, want %d", parts, len(got.Names), len(want.Names))
	}
}

// A search of a process that does not run ends after its time with what is proven, and
// Found must name its results within its time.
func TestSearchEnds(t *testing.T) {
	p, _ := run(t, pystacktest.Pythons(t)[0])
	h := p.walk()
	want := p.find(addrs(h), nil).Names
	target, now, step := p.target(), time.Now(), 5*time.Second
	target.Now = func() time.Time { now = now.Add(step); return now }
	s := census.New(target).Search(addrs(h), nil)
	p.stand()
	if err := s.Continue(t.Context()); err != nil || s.Dropped() != 1 {
		t.Fatalf("%v, %d dropped", err, s.Dropped())
	}
	if _, err := s.Found(t.Context()); !errors.Is(err, census.ErrTooMuch) {
		t.Errorf("too long: %v", err)
	}
	step = 0
	got, err := s.Found(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for addr, name := range got.Names {
		if name != want[addr] {
			t.Errorf("%s, want %s", name, want[addr])
		}
	}
	if len(got.Names) == 0 || len(got.Names) > len(want) {
		t.Errorf("%d names, want some of %d", len(got.Names), len(want))
	}
}
