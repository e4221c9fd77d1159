package pystack

import (
	"encoding/binary"
	"math/rand/v2"
	"os/exec"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/pystack/layout"
	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
)

// What one look may read at most, whatever is in the memory.
const (
	mostReads = 40_000
	mostBytes = 256 << 20
)

// garbage is memory that repeats a text for ever, with holes.
type garbage struct {
	text  []byte
	reads int
	bytes int
}

func (g *garbage) Read(parts ...memory.Part) error {
	g.reads++
	for _, p := range parts {
		if err := memory.Check(p.Addr, len(p.Into)); err != nil {
			return err
		}
		g.bytes += len(p.Into)
		if p.Addr>>12%7 == 3 {
			return memory.ErrShort
		}
		for i := range p.Into {
			p.Into[i] = g.text[(p.Addr+uint64(i))%uint64(len(g.text))]
		}
	}
	return nil
}

// exercise does all that reads memory, and fails if it reads without end.
func exercise(t *testing.T, m memory.Memory, reads, bytes func() int, prepare func(*Process)) {
	t.Helper()
	p := newProcess(m)
	p.proc = procfs.New(t.TempDir())
	prepare(p)
	step := func(name string, f func()) {
		r, b := reads(), bytes()
		f()
		if reads()-r > mostReads || bytes()-b > mostBytes {
			t.Fatalf("%s: %d reads, %d bytes", name, reads()-r, bytes()-b)
		}
	}
	step("states", func() { _ = p.readStates() })
	p.states = append(p.states, state{addr: 1 << 20})
	var s Stack
	th := &thread{}
	for _, st := range p.states[:min(len(p.states), 4)] {
		step("stack", func() {
			for range 2 {
				frames, err := p.walker.chain(p, th, st)
				if err == nil && len(frames) > MaxFrames+1 {
					t.Fatalf("%d frames", len(frames))
				}
				if err == nil {
					_ = p.resolve(&s, frames)
				}
			}
		})
	}
	step("frames", func() {
		if frames, err := p.walker.follow(p, th, 1<<21); err == nil {
			_ = p.resolve(&s, frames)
		}
	})
	step("code", func() { _, _ = p.load(1 << 22) })
	step("text", func() {
		if text, err := p.text(1 << 23); err == nil && len(text) > 4*maxString {
			t.Fatalf("a text of %d bytes", len(text))
		}
	})
	step("lock", func() { _, _ = p.GIL() })
	step("collector", func() { _, _ = p.Collecting() })
	_ = p.follow(p.walker.pthread[:], nil)
}

func FuzzGarbage(f *testing.F) {
	f.Add([]byte("\x00\x10\x00\x00\x00\x00\x00\x00"), byte(11))
	f.Add([]byte("\x08\x10\x40\x00\x00\x00\x00\x00\x28\x00\x40\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), byte(9))
	f.Fuzz(func(t *testing.T, text []byte, minor byte) {
		if len(text) == 0 {
			return
		}
		g := &garbage{text: text}
		exercise(t, g, func() int { return g.reads }, func() int { return g.bytes }, func(p *Process) {
			p.layout, _ = layout.For(8+int(minor%7), minor >= 128)
			p.runtime = 1 << 16
			b := make([]byte, layout.DescribedSize)
			if g.Read(memory.Part{Addr: 1 << 16, Into: b}) == nil {
				l := p.layout
				_, _ = l.Describe(b)
			}
		})
	})
}

// damaged is a process's memory in which some words are others.
type damaged struct {
	*memory.Process

	rng  *rand.Rand
	seen []uint64
	rate int // one read of so many
}

func (d *damaged) Read(parts ...memory.Part) error {
	if err := d.Process.Read(parts...); err != nil {
		return err
	}
	for _, p := range parts {
		if len(p.Into) < 8 || d.rng.IntN(d.rate) != 0 {
			continue
		}
		at := d.rng.IntN(len(p.Into)/8) * 8
		word := binary.LittleEndian.Uint64(p.Into[at:])
		d.seen = append(d.seen[max(0, len(d.seen)-100):], word, p.Addr)
		switch d.rng.IntN(4) {
		case 0:
			word = d.seen[d.rng.IntN(len(d.seen))]
		case 1:
			word = d.rng.Uint64()
		case 2:
			word ^= 1 << d.rng.IntN(64)
		default:
			word = uint64(d.rng.IntN(1 << 20))
		}
		binary.LittleEndian.PutUint64(p.Into[at:], word)
	}
	return nil
}

// A process's memory in which words are replaced by others, and by addresses of
// other things, is read without a panic and without end.
func TestDamagedMemory(t *testing.T) {
	t.Parallel()
	py := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", "import time\ndef f(n): f(n-1) if n else time.sleep(1000)\nf(30)")
	if err := py.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = py.Process.Kill()
		_ = py.Wait()
	})
	var real *Process
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		var s Stack
		if real, err = Open(procfs.New("/proc"), py.Process.Pid, NewCache()); err == nil {
			defer real.Close()
			if real.Look(py.Process.Pid, &s) == OK && len(s.Frames) == 32 {
				break
			}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(3000) {
		m := memory.NewProcess(py.Process.Pid)
		d := &damaged{Process: m, rng: rand.New(rand.NewPCG(seed, 0)), rate: 1 + int(seed%40)}
		exercise(t, d, func() int { return int(m.Calls()) }, func() int { return int(m.Bytes()) }, func(p *Process) {
			p.layout, p.runtime = real.layout, real.runtime
		})
	}
}

// What the bounds leave out is counted.
func TestBounds(t *testing.T) {
	p := newProcess(&garbage{text: make([]byte, 4096)})
	p.layout, _ = layout.For(11, false)
	for i := range uint64(maxCodes) {
		p.codes.known[i] = &Code{}
	}
	for i := range 2*maxCodes + 10 {
		p.codes.intern(string(rune(i)))
	}
	if len(p.codes.texts) > 2*maxCodes {
		t.Errorf("%d texts are kept", len(p.codes.texts))
	}
	if _, err := p.load(1 << 20); err == nil {
		t.Error("a code object without a type")
	}
	c := &Code{Addr: 1 << 20, first: 7, size: 10}
	for instr, want := range map[uint64]bool{c.Addr + 184 - 2: true, c.Addr + 184 - 4: false, c.Addr + 184 + 10: false} {
		if _, ok := c.line(&p.layout, instr); ok != want {
			t.Errorf("instruction %#x: %v", instr, ok)
		}
	}
	if got := decode([]byte{0x42, 0x01, 0x00, 0xd8}, 2); got != "ł\uFFFD" {
		t.Errorf("%q", got)
	}
	if got := decode([]byte{0x0d, 0xf4, 0x01, 0x00, 0xff, 0xff, 0xff, 0xff}, 4); got != "\U0001f40d\uFFFD" {
		t.Errorf("%q", got)
	}
}

func TestOwn(t *testing.T) {
	for file, want := range map[string]bool{
		"/srv/shop/orders.py":                                true,
		"orders.py":                                          true,
		"<string>":                                           true,
		"/usr/lib/python3.11/threading.py":                   false,
		"/usr/lib64/python3.9/threading.py":                  false,
		"/usr/lib/python3/dist-packages/flask/app.py":        false,
		"/srv/shop/venv/lib/python3.12/site-packages/x/y.py": false,
		"/usr/lib/python311.zip/os.py":                       false,
		"/srv/python3/app.py":                                true,
		"/usr/bin/gunicorn":                                  false,
		"/srv/shop/bin/serve.py":                             true,
		"<frozen importlib._bootstrap>":                      false,
		"<attrs generated init shop.Order>":                  false,
		"/root/.pyenv/versions/3.13.0/lib/python3.13/os.py":  false,
	} {
		if got := own(file); got != want {
			t.Errorf("%s: %v", file, got)
		}
	}
}

func TestFramesOfTheApp(t *testing.T) {
	lib, view, pay := &Code{Name: "wsgi_app"}, &Code{Name: "view", Own: true}, &Code{Name: "pay", Own: true}
	s := Stack{Frames: []Frame{{Code: lib}, {Code: pay}, {Code: view}, {Code: lib}}}
	if s.InnerFrame().Code != lib || s.OwnFrame().Code != pay {
		t.Errorf("%v %v", s.InnerFrame().Code, s.OwnFrame().Code)
	}
	s = Stack{}
	if s.InnerFrame() != nil || s.OwnFrame() != nil || s.ended() {
		t.Error("no frames")
	}
}
