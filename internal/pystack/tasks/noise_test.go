package tasks_test

import (
	"encoding/binary"
	"math/rand/v2"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
	"github.com/resp-exporter/resp-exporter/internal/pystack/pystacktest"
	"github.com/resp-exporter/resp-exporter/internal/pystack/tasks"
)

// over is a reader that can be given another memory.
type over interface {
	Over(m memory.Memory)
	Read(stack *pystack.Stack, now time.Time, into []tasks.Task) ([]tasks.Task, bool)
}

// Memory that changes during a look, or that misleads, ends in no panic and in no
// read without an end.
func TestNoise(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, server := range []string{"uvicorn", "gevent"} {
		l := newLoop(t, server)
		var reader func() over
		if server == "uvicorn" {
			requests := l.openProcess(l.start(debian, "-m", "uvicorn", "--uds", l.socket(), "--http", "h11", "loop:app"))
			reader = func() over { return tasks.New(l.process, requests) }
			l.send(rng, "streamed")
		} else {
			l.start(debian, "-m", "gunicorn.app.wsgiapp", "green:app", "--bind", "unix:"+l.socket(), "--worker-class", "gevent", "--timeout", "600")
			l.send(rng, "helper")
			requests := l.openProcess(l.pid())
			reader = func() over { return tasks.NewGreenlets(l.process, requests) }
		}
		l.send(rng, "helper")
		l.reader = reader()
		l.wait("both requests wait", func() bool { return len(l.look()) == 2 })
		var stack pystack.Stack
		l.wait("a stack", func() bool { return l.process.Look(l.pid(), &stack) == pystack.OK && stack.Frozen })
		lost := 0
		for round := range 1500 {
			n := &pystacktest.Noisy{Memory: memory.NewProcess(l.pid()), RNG: rng, Rate: 1 << (3 + round%9)}
			r := reader()
			r.Over(n)
			for range 2 {
				found, ok := r.Read(&stack, time.Now(), nil)
				if len(found) > tasks.MaxRequests || n.Reads > 100_000 {
					t.Fatalf("%d requests with %d reads", len(found), n.Reads)
				}
				if !ok || len(found) != 2 {
					lost++
				}
			}
		}
		if lost == 0 {
			t.Error("the noise changed nothing")
		}
	}
}

// A process without asyncio has no tasks, nor has one without gevent greenlets.
func TestNone(t *testing.T) {
	t.Parallel()
	l := newLoop(t, "")
	cmd := exec.Command(debian, "-S", "-c", "input()")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	l.wait("the interpreter is ready", func() bool {
		p, err := pystack.Open(proc(), cmd.Process.Pid, pystack.NewCache())
		if err != nil {
			return false
		}
		defer p.Close()
		var stack pystack.Stack
		return p.Look(cmd.Process.Pid, &stack) == pystack.OK && stack.Frozen && len(stack.Frames) == 1
	})
	requests := l.openProcess(cmd.Process.Pid)
	var stack pystack.Stack
	if l.process.Look(cmd.Process.Pid, &stack) != pystack.OK {
		t.Fatal("no stack")
	}
	if found, ok := tasks.New(l.process, requests).Read(&stack, time.Now(), nil); ok || len(found) > 0 {
		t.Errorf("tasks: %v", found)
	}
	if found, ok := tasks.NewGreenlets(l.process, requests).Read(&stack, time.Now(), nil); ok || len(found) > 0 {
		t.Errorf("greenlets: %v", found)
	}
}

// words is a memory from an address on.
type words struct {
	base uint64
	all  []byte
}

func (w *words) Read(parts ...memory.Part) error {
	for _, p := range parts {
		if p.Addr < w.base || p.Addr+uint64(len(p.Into)) > w.base+uint64(len(w.all)) {
			return memory.ErrAddress
		}
		copy(p.Into, w.all[p.Addr-w.base:])
	}
	return nil
}

// link makes a list of nodes, the first of which is its head.
func (w *words) link(nodes ...uint64) {
	for i, node := range nodes {
		next := nodes[(i+1)%len(nodes)]
		binary.LittleEndian.PutUint64(w.all[node-w.base:], next)
		binary.LittleEndian.PutUint64(w.all[next-w.base+8:], node)
	}
}

// The list of the tasks of a thread in 3.14 is read to its end; one that does not
// hold together is refused.
func TestLinked(t *testing.T) {
	t.Parallel()
	const base, node = 0x7f0000000000, 152
	w := &words{base: base, all: make([]byte, 1<<20)}
	w.link(base)
	if found, ok := tasks.Linked(w, base); !ok || len(found) != 0 {
		t.Errorf("an empty list: %v %v", found, ok)
	}
	w.link(base, base+4096, base+512, base+8192)
	if found, ok := tasks.Linked(w, base); !ok || !slices.Equal(found, []uint64{base + 4096 - node, base + 512 - node, base + 8192 - node}) {
		t.Errorf("a list: %x %v", found, ok)
	}
	binary.LittleEndian.PutUint64(w.all[512:], base+4096) // a circle without the head
	if found, ok := tasks.Linked(w, base); ok {
		t.Errorf("a circle: %x", found)
	}
	binary.LittleEndian.PutUint64(w.all[512:], base+1<<30)
	if found, ok := tasks.Linked(w, base); ok {
		t.Errorf("a link to nowhere: %x", found)
	}
	var many []uint64
	for i := range uint64(tasks.MaxTasks + 10) {
		many = append(many, base+i*512)
	}
	w.link(many...)
	if found, ok := tasks.Linked(w, base); !ok || len(found) != tasks.MaxTasks {
		t.Errorf("a long list: %d %v", len(found), ok)
	}
}
