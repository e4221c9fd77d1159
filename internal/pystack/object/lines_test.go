package object_test

import (
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
	"github.com/resp-exporter/resp-exporter/internal/pystack/object"
)

// counted is a memory in which each word is its own address, up to an end.
type counted struct {
	end   uint64
	calls int
	parts int
}

func (c *counted) Read(parts ...memory.Part) error {
	c.calls++
	for _, p := range parts {
		c.parts++
		if p.Addr+uint64(len(p.Into)) > c.end {
			return memory.ErrShort
		}
		for i := range p.Into {
			at := p.Addr + uint64(i)
			p.Into[i] = byte(at &^ 7 >> (8 * (at % 8)))
		}
	}
	return nil
}

// Lines that the last look used are read at once, others no longer, and lines that have
// gone do not affect the rest.
func TestTrail(t *testing.T) {
	t.Parallel()
	layout, err := object.LayoutOf(3, 11, false)
	if err != nil {
		t.Fatal(err)
	}
	const base, pages = 0x7f0000000000, 40
	mem := &counted{end: base + pages*4096}
	room := &object.Room{}
	r := object.NewReader(mem, layout, room)
	var trail object.Trail
	look := func(most int) (calls int) {
		t.Helper()
		mem.calls = 0
		r.Begin(&trail)
		for i := range uint64(most) {
			addr := base + i*4096 + i*64
			if got, ok := r.Word(addr); ok != (addr < mem.end) || ok && got != addr {
				t.Fatalf("%x: %x %v", addr, got, ok)
			}
		}
		r.End(&trail)
		return mem.calls
	}
	for _, c := range []struct{ most, calls int }{{30, 30}, {30, 1}, {10, 1}, {30, 21}, {30, 1}} {
		if calls := look(c.most); calls != c.calls {
			t.Errorf("a look at %d places took %d calls, want %d", c.most, calls, c.calls)
		}
	}
	mem.end = base + 20*4096 // the rest is unmapped
	if calls := look(30); calls < 20 || calls > 40 {
		t.Errorf("a look at what has gone took %d calls", calls)
	}
	if calls := look(20); calls != 1 {
		t.Errorf("the look after it took %d calls", calls)
	}
}

// A look that needs more room than there is reads on.
func TestRoomFull(t *testing.T) {
	t.Parallel()
	layout, err := object.LayoutOf(3, 11, false)
	if err != nil {
		t.Fatal(err)
	}
	const base = 0x7f0000000000
	room := &object.Room{}
	r := object.NewReader(&counted{end: base + 1<<40}, layout, room)
	r.Begin(nil)
	for i := range uint64(20_000) {
		if got, ok := r.Word(base + i*256); !ok || got != base+i*256 {
			t.Fatalf("%x: %x %v", base+i*256, got, ok)
		}
	}
	if room.Full() == 0 {
		t.Error("the room was never full")
	}
	if got, ok := r.Word(base); !ok || got != base {
		t.Errorf("%x %v", got, ok)
	}
}
