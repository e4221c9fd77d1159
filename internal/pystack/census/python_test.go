package census_test

import (
	_ "embed"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/census"
	"github.com/resp-exporter/resp-exporter/internal/pystack/object"
	"github.com/resp-exporter/resp-exporter/internal/pystack/pystacktest"
)

const patience = time.Minute

//go:embed testdata/heap.py
var heapSource string

// program is a Python program that says what it has.
type program struct {
	t       testing.TB
	script  *pystacktest.Script
	process *pystack.Process
	still   pystack.Still
	census  *census.Census
}

// told is what the program says.
type told struct {
	Objects, Orders, Functions, Tuples, Count uint64
}

// run runs the program of testdata/heap.py until the test ends.
func run(t testing.TB, python string, args ...string) (*program, told) {
	t.Helper()
	var first told
	p := runSource(t, python, heapSource, &first, args...)
	return p, first
}

// ready is the end of a program that waits after it has said that it is ready.
const ready = `
print("{}", flush=True)
sys.stdin.readline()
`

// runSource runs a program until the test ends, and reads what it says first.
func runSource(t testing.TB, python, source string, first any, args ...string) *program {
	t.Helper()
	script, err := pystacktest.Start(t.Context(), []string{python}, append([]string{"-c", source}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(script.Stop)
	p := &program{t: t, script: script}
	if err := script.Read(first); err != nil {
		t.Fatal(err)
	}
	p.process, err = pystack.Open(procfs.New("/proc"), script.PID(), pystack.NewCache())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.process.Close)
	p.census = census.New(p.target())
	return p
}

func (p *program) target() census.Target {
	v := p.process.Version()
	layout, err := object.LayoutOf(v.Major, v.Minor, false)
	if err != nil {
		p.t.Fatal(err)
	}
	interp, err := p.process.MainInterpreter()
	if err != nil {
		p.t.Fatal(err)
	}
	return census.Target{Memory: p.process.Memory(), Minor: v.Minor, Runtime: p.process.Runtime(), Interp: interp, Objects: layout, Holds: p.still.Holds}
}

func (p *program) read() (out told) {
	p.t.Helper()
	if err := p.script.Read(&out); err != nil {
		p.t.Fatal(err)
	}
	return out
}

func (p *program) write(line string) {
	p.t.Helper()
	if err := p.script.Write(line + "\n"); err != nil {
		p.t.Fatal(err)
	}
}

// stand waits until no thread of the program runs.
func (p *program) stand() {
	p.t.Helper()
	var out pystack.Outcome
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if out = p.still.Stand(p.process); out == pystack.OK {
			return
		}
	}
	p.t.Fatalf("the program does not stand still: %v", out)
}

func (p *program) walk() *census.Heap {
	p.t.Helper()
	p.stand()
	h, err := p.census.Walk(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	return h
}

// search searches until all is visited.
func (p *program) search(containers, types []uint64) *census.Search {
	p.t.Helper()
	s := p.census.Search(containers, types)
	p.stand()
	if err := s.Continue(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	return s
}

func (p *program) find(containers, types []uint64) *census.Found {
	p.t.Helper()
	f, err := p.search(containers, types).Found(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	return f
}

// each runs a test with each Python.
func each(t *testing.T, f func(t *testing.T, python string)) {
	t.Helper()
	for _, python := range pystacktest.Pythons(t) {
		t.Run(strings.ReplaceAll(python, "/", "_"), func(t *testing.T) { f(t, python) })
	}
}

func addrs(h *census.Heap) (out []uint64) {
	for _, c := range h.Containers {
		out = append(out, c.Addr)
	}
	return out
}

func typesOf(h *census.Heap) (out []uint64) {
	for t := range h.Types {
		out = append(out, t)
	}
	return out
}
