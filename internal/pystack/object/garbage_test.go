package object_test

import (
	"encoding/binary"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
	"github.com/resp-exporter/resp-exporter/internal/pystack/object"
	"github.com/resp-exporter/resp-exporter/internal/pystack/pystacktest"
)

// garbage answers each read with bytes that look like addresses, lengths and
// flags, or with an error.
type garbage struct {
	seed  uint64
	base  []uint64
	reads int
}

func (g *garbage) next() uint64 {
	g.seed ^= g.seed << 13
	g.seed ^= g.seed >> 7
	g.seed ^= g.seed << 17
	return g.seed
}

func (g *garbage) Read(parts ...memory.Part) error {
	g.reads++
	for _, p := range parts {
		if err := memory.Check(p.Addr, len(p.Into)); err != nil {
			return err
		}
	}
	if g.next()%16 == 0 {
		return memory.ErrShort
	}
	for _, p := range parts {
		for i := 0; i < len(p.Into); i += 8 {
			var w [8]byte
			binary.LittleEndian.PutUint64(w[:], g.word())
			copy(p.Into[i:], w[:])
		}
	}
	return nil
}

// word returns something that a field could have.
func (g *garbage) word() uint64 {
	switch n := g.next(); n % 8 {
	case 0:
		return n
	case 1:
		return n >> 8 % 64
	case 2:
		return ^(n >> 8 % 64)
	case 3, 4:
		return g.base[n>>8%uint64(len(g.base))] + n>>32%512&^7
	case 5:
		return n >> 8 % 0x800000000000 &^ 7
	case 6:
		return n & (0x3f000000 | 0x214 | 0xff)
	}
	return 0
}

// Nothing that a process has in its memory leads to a panic, or to reads without
// an end.
func FuzzGarbage(f *testing.F) {
	for i := range uint64(400) {
		f.Add(i*0x9e3779b97f4a7c15+1, i%7)
	}
	f.Fuzz(func(t *testing.T, seed, minor uint64) {
		layout, err := object.LayoutOf(3, 8+int(minor%7), seed%2 == 0)
		if err != nil {
			t.Fatal(err)
		}
		g := &garbage{seed: seed | 1, base: []uint64{0x7f0000001000, 0x555555554000, 0x7fffffffe000, 0x2000}}
		r := object.NewReader(g, layout, &object.Room{})
		var trail object.Trail
		for range 20 {
			obj := g.word()
			r.Begin(&trail)
			useAll(r, obj)
			r.End(&trail)
		}
		if g.reads > 2_000_000 {
			t.Errorf("%d reads", g.reads)
		}
	})
}

// useAll reads an address as everything.
func useAll(r *object.Reader, obj uint64) {
	if s, _ := r.Str(nil, obj); len(s) > 4*object.MaxText {
		panic("a long text")
	}
	if s, _ := r.Latin1(nil, obj); len(s) > object.MaxText {
		panic("a long text")
	}
	if s, _ := r.Bytes(nil, obj); len(s) > object.MaxText {
		panic("a long text")
	}
	r.Int(obj)
	r.Float(obj)
	r.Bool(obj)
	r.IsNone(obj)
	r.Datetime(obj)
	r.TypeName(nil, obj)
	r.Equals(obj, "REQUEST_METHOD")
	n := 0
	few := func() bool { n++; return n < 100 }
	r.Tuple(obj, func(int, uint64) bool { return few() })
	r.List(obj, func(int, uint64) bool { return few() })
	r.Set(obj, func(uint64) bool { return few() })
	key := object.NewKey("PATH_INFO")
	r.Lookup(obj, key)
	r.Attribute(obj, key)
	r.Module(obj, key)
	r.ModuleAttribute(obj, key)
	r.Cell(obj)
	r.WeakrefTarget(obj)
	r.FunctionCode(obj)
	r.MethodSelf(obj)
	r.FunctionName(obj)
	var slots [2]object.Slots
	r.Slots(obj, 0, []string{"ctx", "environ"}, slots[:])
	r.Local(obj, object.Slots{1, 2})
	r.Chain(obj, func(object.Step) bool { return true })
	r.Step(obj)
}

// noisy is the memory of a process with some of its words replaced.
type noisy struct {
	garbage
	memory memory.Memory
	rate   uint64 // one word in so many
}

func (n *noisy) Read(parts ...memory.Part) error {
	n.reads++
	if err := n.memory.Read(parts...); err != nil {
		return err
	}
	for _, p := range parts {
		for i := 0; i+8 <= len(p.Into); i += 8 {
			if n.next()%n.rate == 0 {
				binary.LittleEndian.PutUint64(p.Into[i:], n.word())
			}
		}
	}
	return nil
}

// Objects that change while they are read, or that were made to mislead, lead to
// no panic and to no read without an end either.
func TestNoise(t *testing.T) {
	t.Parallel()
	for _, python := range pystacktest.Pythons(t) {
		t.Run(python, func(t *testing.T) {
			t.Parallel()
			facts, pid := start(t, python)
			layout := layoutOf(t, python)
			n := &noisy{memory: memory.NewProcess(pid), garbage: garbage{seed: 88172645463325252}}
			n.base = []uint64{facts[0].ID, facts[len(facts)/2].ID, facts[len(facts)-1].ID &^ 7}
			var counts object.Counts
			for _, n.rate = range []uint64{4, 16, 64, 256} {
				r := object.NewReader(n, layout, &object.Room{})
				var trail object.Trail
				for _, f := range facts {
					n.reads = 0
					r.Begin(&trail)
					useAll(r, f.ID)
					check(r, f)
					r.End(&trail)
					if n.reads > 50_000 {
						t.Fatalf("%s: %d reads", f.Kind, n.reads)
					}
				}
				counts.Wild += r.Counts.Wild
				counts.Long += r.Counts.Long
				counts.Many += r.Counts.Many
				counts.Alien += r.Counts.Alien
			}
			if counts.Wild == 0 || counts.Long == 0 || counts.Many == 0 || counts.Alien == 0 {
				t.Errorf("something was never refused: %+v", counts)
			}
		})
	}
}
