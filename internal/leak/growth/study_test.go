package growth_test

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/leak/growth"
	"github.com/resp-exporter/resp-exporter/internal/leak/watch"
	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/pystack/census"
	"github.com/resp-exporter/resp-exporter/internal/pystack/image"
	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
)

// hangs is a program whose list of the collector leads into a page that does not come
// (userfaultfd(2)).
//
//go:embed testdata/hangs.py
var hangs string

// watcher returns a Watcher of workers that stay suspected.
func watcher(pause, patience time.Duration, all ...watch.Suspect) *growth.Watcher {
	return growth.New(growth.Options{
		Suspects: func() []watch.Suspect { return all }, On: func() bool { return true }, ProcRoot: "/proc", Pause: pause, Patience: patience,
	})
}

// openOf returns how many descriptors of the test are files of a process.
func openOf(t *testing.T, pid int) (n int) {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range all {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, fmt.Sprintf("/proc/%d/", pid)) {
			n++
		}
	}
	return n
}

// A panic while memory is read is an error, and the next function is called.
func TestPanic(t *testing.T) {
	t.Parallel()
	w := watcher(0, 0)
	err := w.Do(func() error { panic("index out of range") })
	if p, ok := errors.AsType[*logs.Panic](err); !ok || p.Value != "index out of range" || p.Stack == "" {
		t.Errorf("%v", err)
	}
	if err := w.Do(func() error { return unix.EPERM }); !errors.Is(err, unix.EPERM) {
		t.Errorf("%v", err)
	}
	if n := w.Hung(); n != 0 {
		t.Errorf("%d hang", n)
	}
}

// Of a process whose memory does not come nothing stays open, and after two of a user no
// memory of that user is read until they have returned.
func TestHangs(t *testing.T) {
	t.Parallel()
	var ends []context.CancelFunc
	var all []watch.Suspect
	for i := range 3 {
		ctx, end := context.WithCancel(t.Context())
		s := startIn(ctx, t, "/usr/bin/python3", "-c", hangs)
		s.App = fmt.Sprint("shop", i)
		ends, all = append(ends, end), append(all, s)
	}
	w := watcher(longest, longest, all...)
	for i, want := range []int{1, 2, 2} {
		s, ok := w.Next(time.Now())
		if !ok || s != all[i] {
			t.Fatalf("%+v", s)
		}
		w.Study(t.Context(), s)
		got, _ := w.Of(s.App)
		if got.Outcome != model.HeapUnknown || got.Reason != model.HeapHung || w.Hung() != want || w.Refused() != uint64(want) {
			t.Errorf("%+v, %d hang, %d refused", got, w.Hung(), w.Refused())
		}
		if n := openOf(t, s.PID); n != 0 {
			t.Errorf("%d files are open", n)
		}
	}
	ends[0]()
	waitFor(t, func() bool { return w.Hung() == 1 })
	w.Study(t.Context(), all[2])
	if w.Hung() != 2 {
		t.Errorf("%d hang", w.Hung())
	}
	ends[1]()
	ends[2]()
	waitFor(t, func() bool { return w.Hung() == 0 })
}

// many is a program that stands still and has a million objects that the collector knows.
const many = `import sys
all = [[] for _ in range(1000000)]
print("ready", flush=True)
sys.stdin.read()`

// A pass ends when its CPU time is used up, also of a process that does not run.
func TestCPU(t *testing.T) {
	t.Parallel()
	s := start(t, "/usr/bin/python3", "-c", many)
	w := watcher(longest, longest, s)
	const allowed = 10 * time.Millisecond
	w.SetMaxCPU(allowed)
	if s, ok := w.Next(time.Now()); !ok {
		t.Fatalf("%+v", s)
	}
	w.Study(t.Context(), s)
	got, _ := w.Of("shop")
	if got.Outcome != model.HeapUnknown || got.Reason != model.HeapTooMuch && got.Reason != model.HeapAwake {
		t.Errorf("%+v", got)
	}
	t.Logf("%+v", got)
	if got.CPU < allowed.Seconds() || got.CPU > 0.3 {
		t.Errorf("%g s of CPU time", got.CPU)
	}
	if w.Dropped() != 1 && got.Reason == model.HeapTooMuch {
		t.Errorf("%d dropped", w.Dropped())
	}
}

// A pass that waits for a process to stand still ends when censuses are switched off.
func TestOffWithinPass(t *testing.T) {
	t.Parallel()
	s := start(t, "/usr/bin/python3", "-c", "print('ready', flush=True)\nwhile True: pass")
	var on atomic.Bool
	on.Store(true)
	var asked atomic.Int64
	w := growth.New(growth.Options{
		Suspects: func() []watch.Suspect { asked.Add(1); return []watch.Suspect{s} }, On: on.Load, ProcRoot: "/proc", Pause: time.Hour, Patience: time.Hour,
	})
	if _, ok := w.Next(time.Now()); !ok {
		t.Fatal("it is not studied")
	}
	done := make(chan struct{})
	go func() { w.Study(t.Context(), s); close(done) }()
	waitFor(t, func() bool { return asked.Load() > 3 }) // before each try
	on.Store(false)
	select {
	case <-done:
	case <-time.After(longest):
		t.Fatal("the study goes on")
	}
	if c, ok := w.Of("shop"); ok && c.Outcome != model.HeapPending {
		t.Errorf("%+v", c)
	}
	on.Store(true)
	if _, ok := w.Next(time.Now()); ok {
		t.Error("it is studied again at once")
	}
	if _, ok := w.Next(time.Now().Add(2 * time.Hour)); !ok {
		t.Error("it is not studied again")
	}
}

// A census is complete if nothing was left out, wherever.
func TestComplete(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		heap, search uint64
		untracked    int
		want         bool
	}{
		{0, 0, 0, true}, {0, 0, census.MaxContainers - 1, true}, {1, 0, 0, false}, {0, 1, 0, false}, {0, 0, census.MaxContainers, false},
	} {
		if got := growth.Complete(&census.Heap{Dropped: c.heap}, c.search, c.untracked); got != c.want {
			t.Errorf("%+v: %t", c, got)
		}
	}
}

// A read that was not started because others hang has that reason, however the parser
// handles it.
func TestReasons(t *testing.T) {
	t.Parallel()
	for want, err := range map[model.HeapReason]error{
		model.HeapHung:        errors.Join(census.ErrLayout, memory.ErrHung),
		model.HeapAwake:       census.ErrAwake,
		model.HeapEnded:       fmt.Errorf("memory: %w", unix.ESRCH),
		model.HeapUnsupported: &image.Unsupported{Reason: image.Layout},
		model.HeapLayout:      census.ErrTorn,
		model.HeapTooMuch:     census.ErrTooMuch,
		model.HeapPermission:  unix.EPERM,
	} {
		if got := growth.ReasonOf(err); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
}
