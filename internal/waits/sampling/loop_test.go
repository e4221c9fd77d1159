package sampling

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
)

// loopScript is an event loop that begins a request for each line that it is sent, and
// prints at the end of each for how many seconds it was in turns of a tenth of a second.
const loopScript = `import asyncio, os, sys, time
async def read(): await asyncio.sleep(600)
async def pay(s): await read()
async def listing(s): await asyncio.sleep(s)
async def hold(s): time.sleep(s)
async def spin(s):
    end = time.monotonic() + s
    while time.monotonic() < end: pass
async def turns(s):
    end = time.monotonic() + s
    long = 0
    while (began := time.monotonic()) < end:
        for i in range(20000): pass
        await asyncio.sleep(0)
        took = time.monotonic() - began
        if took > 0.09: long += took
    return long
async def app(scope, receive, send):
    began = time.monotonic()
    long = await globals()[scope["path"]](scope["s"])
    print(time.monotonic() - began if long is None else long, flush=True)
async def middle(scope, receive, send): await asyncio.create_task(app(scope, receive, send))
async def main():
    os.set_blocking(0, False)
    todo = set()
    def begin():
        for line in os.read(0, 65536).decode().splitlines():
            outer, path, s = line.split()
            scope = {"type": "http", "method": "GET", "path": path, "s": float(s)}
            todo.add(asyncio.create_task(globals()[outer](scope, None, None)))
    asyncio.get_running_loop().add_reader(0, begin)
    print("ready", flush=True)
    await asyncio.sleep(6000)
asyncio.run(main())
`

// loopTrial is a loop that the test samples by hand.
type loopTrial struct {
	t     *testing.T
	s     *Sampler
	r     Registration
	stdin io.Writer
	lines chan string // that it prints
}

func newLoopTrial(t *testing.T, script string) *loopTrial {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), python, "-S", "-c", script)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	printed := bufio.NewScanner(out)
	if !printed.Scan() {
		t.Fatal("it prints nothing:", printed.Err())
	}
	lines := make(chan string, 100)
	go func() {
		for printed.Scan() {
			lines <- printed.Text()
		}
	}()
	b, err := procfs.New("/proc").Read(cmd.Process.Pid, "stat")
	if err != nil {
		t.Fatal(err)
	}
	st, err := procfs.ParseStat(b)
	if err != nil {
		t.Fatal(err)
	}
	s := New(Options{ProcRoot: "/proc", SysRoot: "/sys", Settings: Settings{Rate: 10, Stacks: true, Paths: true}})
	t.Cleanup(s.closeAll)
	return &loopTrial{t: t, s: s, stdin: stdin, lines: lines, r: Registration{PID: cmd.Process.Pid, Start: st.Start, App: "shop", Server: cmdline.Uvicorn, Known: true}}
}

func (l *loopTrial) send(line string) {
	l.t.Helper()
	if _, err := io.WriteString(l.stdin, line+"\n"); err != nil {
		l.t.Fatal(err)
	}
}

// look samples and returns the threads and, apart, the tasks.
func (l *loopTrial) look() (threads, tasks []model.Thread) {
	l.t.Helper()
	for _, x := range l.s.Register(l.r) {
		if x.Task {
			tasks = append(tasks, x)
		} else {
			threads = append(threads, x)
		}
	}
	l.s.sample()
	return threads, tasks
}

// view returns the seconds of a view.
func (l *loopTrial) view(name string) (seconds ledger.Seconds) {
	for _, a := range l.s.Totals().Apps {
		for i := range a.Views {
			if a.Views[i].Name == name {
				seconds = a.Views[i].Seconds
			}
		}
	}
	return seconds
}

// request lets the loop handle one request of a kind and looks until it has ended. It
// returns for how many seconds the sampler says that it blocked the loop, and for how many
// the loop says so, the longest time between two looks, and whether the line was seen.
func (l *loopTrial) request(kind string, line int, seconds float64) (got, truth, gap float64, seen bool) {
	l.t.Helper()
	before := l.blocked()
	l.send(fmt.Sprintf("app %s %g", kind, seconds))
	last := time.Now()
	until(l.t, kind+" ends", func() bool {
		threads, _ := l.look()
		gap, last = max(gap, time.Since(last).Seconds()), time.Now()
		x := threads[0].Stack
		seen = seen || x != nil && x.Own.Function == kind && x.Own.Line == line && x.View == "app"
		time.Sleep(60 * time.Millisecond) // and 20 more
		select {
		case text := <-l.lines:
			if _, err := fmt.Sscan(text, &truth); err != nil {
				l.t.Fatal(err)
			}
			return true
		default:
			return false
		}
	})
	return l.blocked() - before, truth, gap, seen
}

func (l *loopTrial) blocked() float64 { return l.s.Totals().Apps[0].Slots[0].Blocked }

// Each request that waits in a loop is listed with the line that it waits in, and
// its time goes to its view.
func TestTasksOfALoop(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	l := newLoopTrial(t, loopScript)
	pay, listing := 1+rng.IntN(6), 1+rng.IntN(6)
	for i := range pay {
		l.send([]string{"app", "middle"}[i%2] + " pay 0")
	}
	for range listing {
		l.send("app listing 600")
	}
	began := time.Now()
	var waits []model.Thread
	until(t, "the tasks are listed", func() bool {
		_, waits = l.look()
		return len(waits) == pay+listing
	})
	for _, x := range waits {
		want := map[string]int{"read": 2, "listing": 4}[x.Stack.Own.Function]
		// The view is the outermost function of the app.
		if x.On != "loop" || x.TID != l.r.PID || x.Stack.Own.Line != want || want == 0 || x.Stack.View == "" || x.Stack.Method != "GET" || x.Seen.Before(began.Add(-time.Second)) {
			t.Errorf("%+v %+v", x, x.Stack)
		}
	}
	n := 0
	for _, of := range l.s.Totals().InFlight["shop"] {
		n += of
	}
	if n != pay+listing {
		t.Errorf("%d in flight, want %d", n, pay+listing)
	}
	l.checkSeconds(waits[0].Stack.View, l.s.Totals().InFlight["shop"][waits[0].Stack.View])
	for range maxTaskThreads {
		l.send("app listing 600")
	}
	until(t, "the list is full", func() bool {
		_, waits = l.look()
		return len(waits) == maxTaskThreads && l.s.Totals().InFlight["shop"]["app"] >= maxTaskThreads
	})
}

// checkSeconds checks what is added to a view in which so many requests wait.
func (l *loopTrial) checkSeconds(view string, n int) {
	l.t.Helper()
	before, from := l.view(view)[ledger.Loop], time.Now()
	until(l.t, "seconds of the view", func() bool {
		l.look()
		return l.view(view)[ledger.Loop]-before > 3*float64(n)
	})
	if got, passed := l.view(view)[ledger.Loop]-before, time.Since(from).Seconds(); got > float64(n)*(passed+longestLook.Seconds()) {
		l.t.Errorf("%.2f s of %d requests in %.2f s", got, n, passed)
	}
}

// A loop that computes or sleeps is blocked, with the line; one that takes many
// short turns is not.
func TestBlockedLoop(t *testing.T) {
	t.Parallel()
	for kind, c := range map[string]struct {
		line    int
		blocked bool
	}{"hold": {5, true}, "spin": {8, true}, "turns": {0, false}} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			l := newLoopTrial(t, loopScript)
			until(t, "the interpreter is open", func() bool {
				l.look()
				time.Sleep(80 * time.Millisecond)
				return !l.s.order[0].loop.read.IsZero()
			})
			const long = 4.0
			got, truth, gap, seen := l.request(kind, c.line, long)
			for range 5 { // a busy machine may have kept the test from looking
				if gap < long/8 {
					break
				}
				got, truth, gap, seen = l.request(kind, c.line, long)
			}
			switch {
			case c.blocked && (got < 0.65*truth-2*gap || got > truth+1 || !seen):
				t.Errorf("blocked for %.2f s of %.2f, looks up to %.2f s apart, line seen: %v", got, truth, gap, seen)
			case !c.blocked && got > long/3+truth: // a turn may last long on a busy machine
				t.Errorf("blocked for %.2f s, of which turns explain %.2f", got, truth)
			}
		})
	}
}

// The stacks of a process that now runs another program are read again.
func TestAnotherProgram(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]string{
		"Python": "def first(): sys.stdin.readline()\nprint('ready', flush=True)\nfirst()\n",
		"other":  "os.execv('/bin/sh', ['sh', '-c', 'echo ready; read x; exec " + python + " -S -c \"$0\"', second])\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			script := "import os, sys\nsecond = 'import time\\ndef second(): time.sleep(600)\\nsecond()'\n" + first +
				"os.execv(sys.executable, [sys.executable, '-S', '-c', second])\n"
			l := newLoopTrial(t, script)
			l.r.Server, l.r.Sync, l.r.InFlight = cmdline.Gunicorn, true, 1
			function := func() string {
				threads, _ := l.look()
				if len(threads) == 0 || threads[0].Stack == nil {
					return ""
				}
				return threads[0].Stack.Own.Function
			}
			until(t, "the first program is known", func() bool {
				return function() == "first" || l.s.order[0].python.never
			})
			l.send(strings.Repeat("x", 3))
			until(t, "the second program is seen", func() bool { return function() == "second" })
		})
	}
}
