package history_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/history"
	"github.com/resp-exporter/resp-exporter/internal/history/files"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// stateDir returns a directory that a state directory may be.
func stateDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/lib", "history-") //nolint:usetesting // t.TempDir is below /tmp, where all may write
	if err != nil {
		t.Fatalf("this test needs a directory in /var/lib: run it as root: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// settings are those of the default configuration.
func settings() history.Settings { return history.Settings{Keep: time.Hour, MaxBytes: 16 << 20} }

// stored returns a history with a state directory, and samples of its first seconds.
func stored(t *testing.T, dir string, from, to int) *history.History {
	t.Helper()
	h := history.New(history.Options{Settings: settings(), StateDir: dir})
	h.Open(noon().Add(time.Duration(from) * time.Second))
	for i := from; i < to; i++ {
		at := noon().Add(time.Duration(i) * time.Second)
		h.Record(at, []history.Request{{App: "shop", Slot: fmt.Sprint(i % 4), PID: 10 + i%4, View: "pay", On: "mysql", Peer: "mysql:main", Seconds: float64(i)}})
		h.Save(at)
	}
	return h
}

// files of the history in a state directory.
func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(dir + "/history-*")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestRestart(t *testing.T) {
	dir := stateDir(t)
	h := stored(t, dir, 0, 700)
	if k := h.Kept(); !k.Stored || k.Why != nil || k.Counts != (history.Counts{}) {
		t.Fatalf("%+v", k)
	}
	if _, err := files.Open(dir, "history"); !errors.Is(err, files.ErrLocked) {
		t.Errorf("a second exporter may write there: %v", err)
	}
	read, err := history.Read(dir) // while it is written
	if err != nil || read.Top("shop", time.Time{}, time.Time{}, 1).Seconds != 700 {
		t.Errorf("Read: %v", err)
	}
	h.Close() // as SIGKILL does: nothing is written at the end
	again := stored(t, dir, 705, 1000)
	top := again.Top("shop", time.Time{}, time.Time{}, 10)
	if top.Seconds != 995 || top.Samples != 995 || len(top.Rows) != 1 || top.Rows[0].Workers != 4 || top.Rows[0].Longest != 999 {
		t.Errorf("%+v", top)
	}
	if n := len(filesIn(t, dir)); n != 4 {
		t.Errorf("%d files of 5 minutes each", n)
	}
	for _, f := range filesIn(t, dir) {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", f, info.Mode())
		}
	}
	strip := again.Strip("shop", noon().Add(690*time.Second), noon().Add(719*time.Second), 30)
	if len(strip.Buckets) != 30 || strip.Buckets[9].Samples != 1 || strip.Buckets[10].Samples != 0 || strip.Buckets[15].Samples != 1 {
		t.Errorf("the gap is not one: %+v", strip)
	}
}

// Damage loses what follows it in its file, and the exporter continues.
func TestDamagedFiles(t *testing.T) {
	for name, c := range map[string]struct {
		damage  func(t *testing.T, list []string)
		seconds float64 // of 1,000 that are left, at least
		damaged uint64
	}{
		"torn":              {func(t *testing.T, list []string) { cut(t, list[3], 3) }, 999, 0},
		"a torn one before": {func(t *testing.T, list []string) { cut(t, list[1], 3) }, 999, 0},
		"a flipped byte":    {func(t *testing.T, list []string) { flip(t, list[1], 2000) }, 700, 1},
		"another file":      {func(t *testing.T, list []string) { write(t, list[0], "hello, this is none") }, 700, 1},
		"empty":             {func(t *testing.T, list []string) { write(t, list[2], "") }, 700, 0},
		"open to others": {func(t *testing.T, list []string) {
			if err := os.Chmod(list[0], 0o666); err != nil { //nolint:gosec // that is the fault
				t.Fatal(err)
			}
		}, 700, 1},
		"a link": {func(t *testing.T, list []string) {
			if err := errors.Join(os.Remove(list[0]), os.Symlink("/etc/passwd", list[0])); err != nil {
				t.Fatal(err)
			}
		}, 700, 1},
		"a directory": {func(t *testing.T, list []string) {
			if err := errors.Join(os.Remove(list[0]), os.Mkdir(list[0], 0o700)); err != nil {
				t.Fatal(err)
			}
		}, 700, 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := stateDir(t)
			stored(t, dir, 0, 1000).Close()
			c.damage(t, filesIn(t, dir))
			h := stored(t, dir, 1000, 1010)
			k := h.Kept()
			if got := h.Top("", time.Time{}, time.Time{}, 1).Seconds; got < c.seconds+10 || k.Counts.Damaged != c.damaged || !k.Stored {
				t.Errorf("%v seconds are left; %+v", got, k)
			}
			h.Close()
			third := stored(t, dir, 1010, 1020)
			if got := third.Top("", time.Time{}, time.Time{}, 1).Seconds; got < c.seconds+20 || third.Kept().Counts.Damaged != 0 {
				t.Errorf("after another restart %v seconds are left; %+v", got, third.Kept())
			}
		})
	}
}

func cut(t *testing.T, file string, n int64) {
	t.Helper()
	info, err := os.Stat(file)
	if err == nil {
		err = os.Truncate(file, info.Size()-n)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func flip(t *testing.T, file string, at int) {
	t.Helper()
	b, err := os.ReadFile(file) //nolint:gosec // of this test
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 1
	write(t, file, string(b))
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Without a state directory the history is in memory; one that appears later is used.
func TestStateDirectoryLater(t *testing.T) {
	parent := stateDir(t)
	dir := parent + "/state"
	h := stored(t, dir, 0, 30)
	if k := h.Kept(); k.Stored || k.Why == nil || k.Counts.Unsaved == 0 {
		t.Errorf("%+v", k)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	h.Save(noon().Add(2 * time.Minute))
	if k := h.Kept(); !k.Stored || k.Why != nil {
		t.Errorf("%+v", k)
	}
	read, err := history.Read(dir)
	if err != nil || read.Top("", time.Time{}, time.Time{}, 1).Seconds != 30 {
		t.Errorf("%v", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	h.Save(noon().Add(3 * time.Minute))
	if k := h.Kept(); k.Stored || !errors.Is(k.Why, files.ErrLost) {
		t.Errorf("%+v", k)
	}
}

// The history keeps its size and its time.
func TestBounds(t *testing.T) {
	dir := stateDir(t)
	h := history.New(history.Options{Settings: history.Settings{Keep: time.Hour, MaxBytes: 1 << 20}, StateDir: dir})
	for i := range 5000 {
		var list []history.Request
		for k := range 200 {
			list = append(list, history.Request{App: "shop", Slot: fmt.Sprint(k), View: "view" + fmt.Sprint((i+k)%20), On: "mysql", Seconds: float64(i % 100)})
		}
		at := noon().Add(time.Duration(i) * time.Second)
		h.Record(at, list)
		h.Save(at)
	}
	k := h.Kept()
	if k.Bytes > 1<<20 || k.Counts.Evicted == 0 {
		t.Errorf("%+v", k)
	}
	size := int64(0)
	for _, f := range filesIn(t, dir) {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if size > 1<<20 {
		t.Errorf("%d bytes of files", size)
	}
	small := history.New(history.Options{Settings: settings()})
	for i := range 9000 {
		small.Record(noon().Add(time.Duration(i)*time.Second), nil)
	}
	if k := small.Kept(); k.To.Sub(k.From) < time.Hour-time.Second || k.To.Sub(k.From) > 66*time.Minute || k.Bytes > 100<<10 || k.Counts.Evicted != 0 {
		t.Errorf("an hour without requests: %+v", k)
	}
	var many []history.Request
	for i := range 5000 {
		many = append(many, history.Request{App: strings.Repeat("x", i%4), On: "cpu"})
	}
	small.Record(noon().Add(9001*time.Second), many)
	if k := small.Kept(); k.Counts.Requests != 5000-2048 {
		t.Errorf("%+v", k)
	}
}

// A clock that is set back begins a new segment; samples of a clock that was wrong go.
func TestClockSetBack(t *testing.T) {
	h := history.New(history.Options{Settings: settings()})
	for i := range 100 {
		h.Record(noon().Add(24*time.Hour+time.Duration(i)*time.Second), []history.Request{{App: "late", On: "cpu"}})
	}
	for i := range 100 {
		h.Record(noon().Add(time.Duration(i)*time.Second), []history.Request{{App: "shop", On: "cpu"}})
	}
	m := h.At("", noon().Add(50*time.Second), 10)
	if !m.At.Equal(noon().Add(50*time.Second)) || len(m.Requests) != 1 || m.Requests[0].App != "shop" {
		t.Errorf("%+v", m)
	}
	if top := h.Top("late", time.Time{}, time.Time{}, 1); top.Seconds != 0 {
		t.Errorf("%+v", top)
	}
}

// requestsOf64 is what 64 threads do in one second.
func requestsOf64(i int, list []history.Request) []history.Request {
	list = list[:0]
	for k := range 64 {
		list = append(list, history.Request{
			App: "shop", Slot: fmt.Sprint(k / 4), PID: 1000 + k/4, View: "checkout", On: "mysql", Peer: "mysql:main", Seconds: float64((i + k) % 30),
			Line: model.Frame{Function: "pay", File: "/srv/shop/billing.py", Line: 100 + (i*7+k)%40}, Digest: "SELECT * FROM orders WHERE id = ?",
		})
	}
	return list
}

func BenchmarkRecord(b *testing.B) {
	h := history.New(history.Options{Settings: settings()})
	lists := make([][]history.Request, 40)
	for i := range lists {
		lists[i] = requestsOf64(i, nil)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		h.Record(noon().Add(time.Duration(i)*time.Second), lists[i%len(lists)])
		i++
	}
	b.StopTimer()
	total := 0
	for _, n := range h.Segments() {
		total += n
	}
	k := h.Kept()
	b.ReportMetric(float64(total)/(k.To.Sub(k.From).Seconds()+1), "bytes/sample")
}

func BenchmarkQuery(b *testing.B) {
	for _, dir := range []string{"", stateDir(b)} {
		h, where := history.New(history.Options{Settings: settings(), StateDir: dir}), "memory/"
		for i := range 3600 {
			h.Record(noon().Add(time.Duration(i)*time.Second), requestsOf64(i, nil))
		}
		if dir != "" {
			h.Save(noon().Add(time.Hour))
			where = "files/"
		}
		b.Run(where+"strip", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h.Strip("shop", time.Time{}, time.Time{}, 240)
			}
		})
		b.Run(where+"top", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h.Top("shop", time.Time{}, time.Time{}, 20)
			}
		})
		b.Run(where+"at", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h.At("shop", noon().Add(30*time.Minute), 20)
			}
		})
	}
}
