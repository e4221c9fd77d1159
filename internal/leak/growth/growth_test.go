package growth_test

import (
	"context"
	_ "embed"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/leak/growth"
	"github.com/resp-exporter/resp-exporter/internal/leak/watch"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

const longest = time.Minute

//go:embed testdata/leak.py
var source string

// start runs a program that leaks until the test ends.
func start(t *testing.T, name string, args ...string) watch.Suspect {
	t.Helper()
	return startIn(t.Context(), t, name, args...)
}

// startIn runs a program until ctx or the test ends.
func startIn(ctx context.Context, t *testing.T, name string, args ...string) watch.Suspect {
	t.Helper()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil { // a program that reads from it waits
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
	if _, err := out.Read(make([]byte, 8)); err != nil { // it is ready
		t.Fatal(err)
	}
	b, err := procfs.New("/proc").Read(cmd.Process.Pid, "stat")
	if err != nil {
		t.Fatal(err)
	}
	stat, err := procfs.ParseStat(b)
	if err != nil {
		t.Fatal(err)
	}
	return watch.Suspect{App: "shop", Slot: 1, PID: cmd.Process.Pid, Ticks: stat.Start, Slope: 1000}
}

// study studies one process until something is known.
func study(t *testing.T, s watch.Suspect, pause, patience time.Duration) model.HeapCensus {
	t.Helper()
	w := growth.New(growth.Options{
		Suspects: func() []watch.Suspect { return []watch.Suspect{s} }, On: func() bool { return true }, ProcRoot: "/proc", Pause: pause, Patience: patience,
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	for end := time.Now().Add(5 * longest); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c, ok := w.Of("shop"); ok && c.Outcome != model.HeapPending {
			return c
		}
	}
	t.Fatal("the study does not end")
	return model.HeapCensus{}
}

// What leaks is named, with what holds it, and a leak that no object explains is said not
// to be Python's.
func TestStudy(t *testing.T) {
	for way, want := range map[string]struct {
		outcome   model.HeapOutcome
		container model.HeapGrowth
		typ       string
	}{
		"list":      {model.HeapGrows, model.HeapGrowth{Name: "__main__.orders", Kind: "list", Of: "Order"}, "Order"},
		"dict":      {model.HeapGrows, model.HeapGrowth{Name: "__main__.table", Kind: "dict", Of: "str"}, ""},
		"set":       {model.HeapGrows, model.HeapGrowth{Name: "__main__.names", Kind: "set", Of: "str"}, ""},
		"lru_cache": {model.HeapGrows, model.HeapGrowth{Name: "__main__.cached", Kind: "lru_cache", Of: "str"}, ""},
		"class":     {model.HeapGrows, model.HeapGrowth{Name: "__main__.Store.rows", Kind: "list", Of: "Order"}, "Order"},
		"closure":   {model.HeapGrows, model.HeapGrowth{Name: "__main__.add.__closure__", Kind: "list", Of: "Order"}, "Order"},
		"deque":     {model.HeapGrows, model.HeapGrowth{Name: "__main__.queue", Kind: "deque", Of: "Order"}, "Order"},
		"instance":  {model.HeapGrows, model.HeapGrowth{Name: "__main__.store.held", Kind: "list", Of: "Order"}, "Order"},
		"lists":     {model.HeapGrows, model.HeapGrowth{Name: "__main__.groups[…]", Kind: "list", Of: "Order"}, "Order"},
		"cycle":     {model.HeapGrows, model.HeapGrowth{}, "Node"},
		"malloc":    {outcome: model.HeapNotPython},
		"array":     {outcome: model.HeapNotPython},
	} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			got := study(t, start(t, "/usr/bin/python3", "-c", source, way), 700*time.Millisecond, longest)
			if got.Outcome != want.outcome || got.App != "shop" || got.Slot != "1" || got.Censuses != 3 || got.Growth <= 0 {
				t.Fatalf("%+v", got)
			}
			if first := at(got.Containers); first.Name != want.container.Name || first.Kind != want.container.Kind || first.Of != want.container.Of {
				t.Errorf("%+v", got)
			}
			if first := at(got.Types); first.Name != want.typ {
				t.Errorf("%+v", got)
			}
		})
	}
}

// at returns the first growth; an empty one if there is none.
func at(all []model.HeapGrowth) model.HeapGrowth {
	if len(all) == 0 {
		return model.HeapGrowth{}
	}
	return all[0]
}

// Of a process that is never at rest there is no census, nor of one that is no Python or
// not the one that is suspected.
func TestNoCensus(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want model.HeapReason
	}{
		"runs":      {[]string{"/usr/bin/python3", "-c", "print('ready', flush=True)\nwhile True: pass"}, model.HeapAwake},
		"no Python": {[]string{"/bin/sh", "-c", "echo ready; read x; read y"}, model.HeapUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, c.args[0], c.args[1:]...)
			if got := study(t, s, 500*time.Millisecond, time.Second); got.Outcome != model.HeapUnknown || got.Reason != c.want {
				t.Errorf("%+v", got)
			}
		})
	}
	t.Run("another process", func(t *testing.T) {
		t.Parallel()
		s := start(t, "/usr/bin/python3", "-c", source, "list")
		s.Ticks++
		if got := study(t, s, 500*time.Millisecond, time.Second); got.Outcome != model.HeapUnknown || got.Reason != model.HeapEnded {
			t.Errorf("%+v", got)
		}
	})
}

// Without suspects, or switched off, nothing is read, and what was known is forgotten.
func TestOff(t *testing.T) {
	s := start(t, "/usr/bin/python3", "-c", source, "list")
	var on atomic.Bool
	w := growth.New(growth.Options{Suspects: func() []watch.Suspect { return []watch.Suspect{s} }, On: on.Load, ProcRoot: "/proc", Pause: 50 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	time.Sleep(300 * time.Millisecond)
	if c, ok := w.Of("shop"); ok {
		t.Errorf("%+v", c)
	}
	on.Store(true)
	waitFor(t, func() bool { _, ok := w.Of("shop"); return ok })
	on.Store(false)
	waitFor(t, func() bool { _, ok := w.Of("shop"); return !ok })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func waitFor(t *testing.T, f func() bool) {
	t.Helper()
	for end := time.Now().Add(longest); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not come")
		}
	}
}
