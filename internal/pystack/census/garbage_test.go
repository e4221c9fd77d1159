package census_test

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/pystack/census"
	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
	"github.com/resp-exporter/resp-exporter/internal/pystack/object"
	"github.com/resp-exporter/resp-exporter/internal/pystack/pystacktest"
)

// noisy is the memory of a process of which words are replaced by others, as a process
// could that wants to do harm.
type noisy struct {
	memory.Memory
	rng   *rand.Rand
	share float64
	pool  [256]uint64
	reads int
}

func (m *noisy) Read(parts ...memory.Part) error {
	m.reads++
	if err := m.Memory.Read(parts...); err != nil {
		return err
	}
	for _, p := range parts {
		words := len(p.Into) / 8
		for range int(float64(words)*m.share + m.rng.Float64()) {
			at := p.Into[8*m.rng.IntN(words):]
			k := m.rng.IntN(len(m.pool))
			old := binary.LittleEndian.Uint64(at)
			switch m.rng.IntN(4) {
			case 0:
				binary.LittleEndian.PutUint64(at, m.rng.Uint64())
			case 1:
				binary.LittleEndian.PutUint64(at, old^1<<m.rng.IntN(64))
			default:
				binary.LittleEndian.PutUint64(at, m.pool[k])
			}
			m.pool[k] = old
		}
	}
	return nil
}

// With any contents of the memory, a census ends without a panic, with bounded reads and
// clean names.
func TestNoise(t *testing.T) {
	p, _ := run(t, pystacktest.Pythons(t)[0])
	h := p.walk()
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	ended := 0
	for range 60 {
		m := &noisy{Memory: p.process.Memory(), rng: rng, share: []float64{0, 1e-5, 1e-4, 1e-3}[rng.IntN(4)]}
		target := p.target()
		target.Memory, target.Holds = m, func() bool { return true }
		c := census.New(target)
		got, err := c.Walk(t.Context())
		if err == nil {
			ended++
			if len(got.Containers) > census.MaxContainers || len(got.Types) > census.MaxTypes || got.Objects > census.MaxObjects {
				t.Fatalf("%d containers, %d types, %d objects", len(got.Containers), len(got.Types), got.Objects)
			}
			h = got
		}
		s := c.Search(addrs(h), typesOf(h))
		err = s.Continue(t.Context())
		if m.reads > 400_000 {
			t.Fatalf("%d reads", m.reads)
		}
		if err != nil {
			continue
		}
		f, err := s.Found(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, names := range []map[uint64]string{f.Names, f.Types} {
			for _, name := range names {
				checkName(t, name)
			}
		}
	}
	if ended == 0 {
		t.Error("not one census ended")
	}
}

func checkName(t *testing.T, name string) {
	t.Helper()
	if len(name) > 128 {
		t.Fatalf("a name of %d bytes: %q", len(name), name)
	}
	for _, c := range name {
		if c < ' ' || c == 0x7f || c == 0xfffe {
			t.Fatalf("a name that is not clean: %q", name)
		}
	}
}

// garbage is memory whose words lead to other places in it.
type garbage struct {
	data  []byte
	reads int
}

func (m *garbage) Read(parts ...memory.Part) error {
	m.reads++
	for _, p := range parts {
		if err := memory.Check(p.Addr, len(p.Into)); err != nil {
			return err
		}
		if len(m.data) == 0 || p.Addr%(1<<33) > 1<<32 {
			return unix.EFAULT
		}
		for i := range p.Into {
			p.Into[i] = m.data[(int(p.Addr%(1<<32))+i)%len(m.data)]
		}
	}
	return nil
}

func FuzzCensus(f *testing.F) {
	words := func(w ...uint64) (b []byte) {
		for _, v := range w {
			b = binary.LittleEndian.AppendUint64(b, v)
		}
		return b
	}
	f.Add(11, words(0x10000, 0x10000, 0x10000, 0x10000))
	f.Add(8, words(0x10008, 0x10010, 0x10000, 16, 0))
	f.Add(13, words(0, 1, 2, 3, 1<<31, 0x10000, 0x10010))
	f.Add(14, []byte("xdebugpy and so on"))
	f.Fuzz(func(t *testing.T, minor int, data []byte) {
		layout, err := object.LayoutOf(3, minor, false)
		if err != nil {
			return
		}
		m := &garbage{data: data}
		now := time.Now()
		c := census.New(census.Target{
			Memory: m, Minor: minor, Runtime: 0x10000, Interp: 0x10000, Objects: layout, Holds: func() bool { return true },
			Now: func() time.Time { now = now.Add(time.Second); return now },
		})
		h, err := c.Walk(t.Context())
		s := c.Search([]uint64{0x10000}, []uint64{0x10000})
		if err == nil {
			s = c.Search(addrs(h), typesOf(h))
		}
		_ = s.Continue(t.Context()) // of such memory, an error or not
		if found, err := s.Found(t.Context()); err == nil {
			for _, name := range found.Names {
				checkName(t, name)
			}
		}
		if m.reads > 1_000_000 {
			t.Fatalf("%d reads", m.reads)
		}
	})
}
