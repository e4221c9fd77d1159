package history_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/history"
	"github.com/resp-exporter/resp-exporter/internal/history/files"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

// answers returns what a history answers to some questions.
func answers(h *history.History, from, to time.Time) []any {
	k := h.Kept()
	return []any{
		h.Strip("", from, to, 50), h.Strip("app1", time.Time{}, time.Time{}, 3600), h.Top("", from, to, history.MaxRows), h.Top("app2", time.Time{}, time.Time{}, 10),
		h.At("", from, history.MaxListed), h.At("app0", to, 3), k.From, k.To, k.Bytes, k.Counts.Evicted, k.Counts.Requests, k.Counts.Details, k.Counts.Unread,
	}
}

// A history whose segments are in files answers as one in memory does, over restarts and
// faults of the directory.
func TestStoredAsInMemory(t *testing.T) {
	for name, c := range map[string]struct {
		settings history.Settings
		restarts bool
	}{
		"restarts":      {history.Settings{Keep: 10 * time.Minute, MaxBytes: 16 << 20}, true},
		"dropped early": {history.Settings{Keep: 10 * time.Minute, MaxBytes: 100 << 10}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := random(t)
			dir := stateDir(t)
			memory, stored := history.New(history.Options{Settings: c.settings}), history.New(history.Options{Settings: c.settings, StateDir: dir})
			at, samples := someSamples(r, 1000, 8)
			for i, list := range samples {
				memory.Record(at[i], append([]history.Request(nil), list...))
				stored.Record(at[i], list)
				stored.Save(at[i])
				switch r.IntN(60) {
				case 0:
					stored.Fault(at[i], syscall.ENOSPC)
				case 1, 2, 3:
					if c.restarts && stored.Kept().Stored {
						stored.Close()
						stored = history.New(history.Options{Settings: c.settings, StateDir: dir})
						stored.Open(at[i])
					}
				case 4, 5:
					from := noon().Add(time.Duration(r.IntN(i+1)) * time.Second)
					to := from.Add(time.Duration(r.IntN(400)) * time.Second)
					if late := at[i].Add(-time.Duration(r.IntN(300)) * time.Second); c.restarts {
						recorded(t, stored, at[:i+1], samples, late, late.Add(time.Minute))
					}
					got, want := answers(stored, from, to), answers(memory, from, to)
					for k := range want {
						if !reflect.DeepEqual(got[k], want[k]) {
							t.Fatalf("after %d seconds, from %s to %s, answer %d: %+v\nwant %+v", i, from, to, k, got[k], want[k])
						}
					}
				}
			}
			if stored.Memory() >= memory.Memory() {
				t.Errorf("%d bytes in memory, of %d", stored.Memory(), memory.Memory())
			}
		})
	}
}

// recorded checks that a history has what was recorded from one time to another, of at most
// 500 kinds.
func recorded(t *testing.T, h *history.History, at []time.Time, samples [][]history.Request, from, to time.Time) {
	t.Helper()
	want, total := make(map[history.Row]float64), 0
	kind := func(app, view, on, peer, kind string, line model.Frame) history.Row {
		return history.Row{App: app, View: view, On: on, Peer: peer, Kind: kind, Line: line}
	}
	for i := range at {
		if at[i].Before(from) || at[i].After(to) {
			continue
		}
		total++
		for _, r := range samples[i] {
			want[kind(r.App, r.View, r.On, r.Peer, r.Kind, r.Line)]++
		}
		if m := h.At("", at[i], history.MaxListed); i%20 == 0 && (!m.At.Equal(at[i]) || !same(m.Requests, samples[i])) {
			t.Fatalf("at %s: %+v\nwant %+v", at[i], m, samples[i])
		}
	}
	top := h.Top("", from, to, history.MaxRows)
	got := make(map[history.Row]float64)
	for _, r := range top.Rows {
		got[kind(r.App, r.View, r.On, r.Peer, r.Kind, r.Line)] = r.Seconds
	}
	on, gotOn := make(map[string]float64), make(map[string]float64)
	for r, n := range want {
		on[r.On] += n
	}
	strip := h.Strip("", from, to, 30)
	for _, b := range strip.Buckets {
		for k, n := range b.Requests {
			gotOn[strip.On[k]] += math.Round(n * float64(b.Samples))
		}
	}
	if !reflect.DeepEqual(gotOn, on) {
		t.Fatalf("from %s to %s: %v\nwant %v", from, to, gotOn, on)
	}
	if top.Samples != total || top.Left != 0 || !reflect.DeepEqual(got, want) {
		t.Fatalf("from %s to %s: %d samples, %d kinds, want %d, %d", from, to, top.Samples, len(got), total, len(want))
	}
}

// Of a file that is damaged or gone, what can be read is returned. It is counted once.
func TestUnreadFiles(t *testing.T) {
	for name, c := range map[string]struct {
		damage      func(file string) error
		least, most float64 // seconds of 1,000 that are left
	}{
		"removed":    {os.Remove, 700, 700},
		"empty":      {func(f string) error { return os.Truncate(f, 0) }, 700, 700},
		"cut off":    {func(f string) error { return os.Truncate(f, 2000) }, 710, 990},
		"a flip":     {func(f string) error { return flipped(f, 2000) }, 710, 990},
		"its magic":  {func(f string) error { return flipped(f, 2) }, 700, 700},
		"a longer":   {func(f string) error { return os.Truncate(f, 1<<20) }, 700, 700},
		"a link":     {func(f string) error { return errors.Join(os.Rename(f, f+".x"), os.Symlink(f+".x", f)) }, 700, 700},
		"a hardlink": {func(f string) error { return os.Link(f, f+".x") }, 700, 700},
		"a FIFO":     {func(f string) error { return errors.Join(os.Remove(f), syscall.Mkfifo(f, 0o600)) }, 700, 700},
		"others'":    {func(f string) error { return os.Chmod(f, 0o666) }, 700, 700}, //nolint:gosec // that is the fault
		"another":    {func(f string) error { return copied(filepath.Dir(f)+"/history-0000000001", f) }, 700, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			dir := stateDir(t)
			h := stored(t, dir, 0, 1000)
			if err := c.damage(filesIn(t, dir)[1]); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				got, k := h.Top("", noon(), noon().Add(time.Hour), 1).Seconds, h.Kept()
				if got < c.least || got > c.most || k.Counts.Damaged != 0 || !k.Stored || k.Counts.Unread != 1 && name != "another" {
					t.Errorf("%v seconds are left; %+v", got, k)
				}
			}
			h.Record(noon().Add(1001*time.Second), []history.Request{{App: "shop", On: "cpu"}})
			h.Save(noon().Add(1001 * time.Second))
			if k := h.Kept(); !k.Stored || h.At("", noon().Add(1001*time.Second), 1).At.IsZero() {
				t.Errorf("%+v", k)
			}
		})
	}
}

func flipped(file string, at int) error {
	b, err := os.ReadFile(file) //nolint:gosec // of this test
	if err != nil {
		return err
	}
	b[at] ^= 1
	return os.WriteFile(file, b, 0o600)
}

func copied(from, to string) error {
	b, err := os.ReadFile(from) //nolint:gosec // of this test
	return errors.Join(err, os.WriteFile(to, b, 0o600))
}

// A segment stays in memory until its file is seen to be whole.
func TestFileRemovedWhileItGrows(t *testing.T) {
	for name, damage := range map[string]func(file string) error{
		"removed": os.Remove,
		"cut off": func(f string) error { return os.Truncate(f, 100) },
		"another": func(f string) error { return errors.Join(os.Remove(f), os.WriteFile(f, []byte("x"), 0o600)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := stateDir(t)
			h := stored(t, dir, 0, 400)
			if err := damage(filesIn(t, dir)[1]); err != nil {
				t.Fatal(err)
			}
			for i := 400; i < 1000; i++ {
				at := noon().Add(time.Duration(i) * time.Second)
				h.Record(at, []history.Request{{App: "shop", On: "cpu"}})
				h.Save(at)
			}
			k, n := h.Kept(), len(filesIn(t, dir))
			if got := h.Top("", time.Time{}, time.Time{}, 1).Seconds; got != 1000 || k.Counts != (history.Counts{}) || !k.Stored || n != 4 {
				t.Errorf("%v seconds in %d files, %+v", got, n, k)
			}
			read, err := history.Read(dir)
			if err != nil || read.Top("", time.Time{}, time.Time{}, 1).Seconds != 1000 {
				t.Errorf("%v, %+v", err, read)
			}
		})
	}
}

// What is in memory goes on when the directory is replaced or removed; the files that are
// gone by then are counted.
func TestDirectoryReplaced(t *testing.T) {
	for name, c := range map[string]struct {
		replace   func(dir string) error
		meanwhile float64 // seconds that are left until the directory is tried again
	}{
		"moved":   {func(d string) error { return errors.Join(os.Rename(d, d+".old"), os.Mkdir(d, 0o700)) }, 1000},
		"removed": {os.RemoveAll, 100},
		"emptied": {func(d string) error { return errors.Join(os.RemoveAll(d), os.Mkdir(d, 0o700)) }, 100},
	} {
		t.Run(name, func(t *testing.T) {
			dir := stateDir(t) + "/state"
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			h := stored(t, dir, 0, 1000)
			seconds := func() float64 { return h.Top("", noon(), noon().Add(time.Hour), 1).Seconds }
			if got := seconds(); got != 1000 {
				t.Fatalf("%v seconds", got)
			}
			if err := c.replace(dir); err != nil {
				t.Fatal(err)
			}
			now := noon().Add(1010 * time.Second)
			h.Save(now)
			if k := h.Kept(); k.Stored || !errors.Is(k.Why, files.ErrLost) {
				t.Errorf("%+v", k)
			}
			if got := seconds(); got != c.meanwhile {
				t.Errorf("%v seconds after the directory was lost", got)
			}
			if k := h.Kept(); c.meanwhile == 100 && !k.From.Equal(noon().Add(900*time.Second)) {
				t.Errorf("%+v", k)
			}
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			for i := range 400 {
				at := now.Add(time.Duration(i) * time.Second)
				h.Record(at, []history.Request{{App: "shop", On: "cpu"}})
				h.Save(at)
			}
			if k, got := h.Kept(), seconds(); got != 500 || !k.Stored || k.Counts.Unread != 3 || k.Counts.Damaged != 0 || h.Memory() > k.Bytes*9/10 {
				t.Errorf("%v seconds, %+v", got, k)
			}
			read, err := history.Read(dir)
			if err != nil || read.Top("", noon(), noon().Add(time.Hour), 1).Seconds != 500 {
				t.Errorf("%v", err)
			}
		})
	}
}

// full returns a directory with a large history, and what it answers.
func full(t *testing.T, dir string) []any {
	t.Helper()
	h := history.New(history.Options{Settings: settings(), StateDir: dir})
	var list []history.Request
	for i := range 3600 {
		list = requestsOf64(i, list)
		h.Record(noon().Add(time.Duration(i)*time.Second), list)
	}
	h.Save(noon().Add(time.Hour))
	defer h.Close()
	if k := h.Kept(); k.Bytes < 500<<10 || h.Memory() > k.Bytes/5 {
		t.Errorf("%d bytes in memory, %+v", h.Memory(), k)
	}
	return answers(h, noon(), noon().Add(time.Hour))[:9]
}

// After a restart the samples are in files, as before it, but for a small last segment.
func TestLoadedStaysInFiles(t *testing.T) {
	dir := stateDir(t)
	want := full(t, dir)
	h := history.New(history.Options{Settings: settings(), StateDir: dir})
	h.Open(noon().Add(time.Hour))
	defer h.Close()
	if k := h.Kept(); h.Memory() > k.Bytes/5 {
		t.Errorf("%d bytes in memory, %+v", h.Memory(), k)
	}
	read, err := history.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, h := range map[string]*history.History{"loaded": h, "read": read} {
		if got := answers(h, noon(), noon().Add(time.Hour))[:9]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v\nwant %+v", name, got, want)
		}
	}
}

// A large last segment is not continued, as its tables may be large.
func TestLargeIsNotContinued(t *testing.T) {
	dir := stateDir(t)
	record := func(from, to int) *history.History {
		h := history.New(history.Options{Settings: settings(), StateDir: dir})
		h.Open(noon().Add(time.Duration(from) * time.Second))
		if h.Memory() != 0 {
			t.Errorf("%d bytes in memory", h.Memory())
		}
		for i := from; i < to; i++ {
			list := make([]history.Request, 1000)
			for k := range list {
				list[k] = history.Request{App: "shop", Slot: fmt.Sprint(k), On: "mysql", Seconds: float64(i)}
			}
			h.Record(noon().Add(time.Duration(i)*time.Second), list)
		}
		h.Save(noon().Add(time.Duration(to) * time.Second))
		h.Close()
		return h
	}
	record(0, 200)
	h := record(201, 250)
	if got, n := h.Top("", time.Time{}, time.Time{}, 1).Seconds, len(filesIn(t, dir)); got != 249_000 || n != 2 {
		t.Errorf("%v seconds in %d files, %+v", got, n, h.Kept())
	}
}

// While the disk is full, what is in files can be read, and the rest stays in memory.
func TestDiskFull(t *testing.T) {
	dir := stateDir(t)
	h := stored(t, dir, 0, 1000)
	h.Fault(noon().Add(1000*time.Second), syscall.ENOSPC)
	for i := 1000; i < 1900; i++ {
		at := noon().Add(time.Duration(i) * time.Second)
		h.Record(at, []history.Request{{App: "shop", On: "cpu"}})
		if i%300 == 0 {
			h.Fault(at, syscall.ENOSPC)
		}
	}
	if got, k := h.Top("", time.Time{}, time.Time{}, 1).Seconds, h.Kept(); got != 1900 || k.Stored || k.Counts.Unread != 0 {
		t.Errorf("%v seconds, %+v", got, k)
	}
	h.Save(noon().Add(1900 * time.Second))
	if got, k := h.Top("", time.Time{}, time.Time{}, 1).Seconds, h.Kept(); got != 1900 || !k.Stored || k.Counts.Unread != 0 || h.Memory() > k.Bytes/3 {
		t.Errorf("%v seconds, %+v", got, k)
	}
	read, err := history.Read(dir)
	if err != nil || read.Top("", time.Time{}, time.Time{}, 1).Seconds != 1900 {
		t.Errorf("%v", err)
	}
}

// Queries go on while samples are taken, stored and dropped, and while the directory has
// faults and is replaced.
func TestQueriesMeanwhile(t *testing.T) {
	dir := stateDir(t) + "/state"
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	h := history.New(history.Options{Settings: history.Settings{Keep: 10 * time.Minute, MaxBytes: 100 << 10}, StateDir: dir})
	end := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
					answers(h, noon(), noon().Add(time.Hour))
				}
			}
		})
	}
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // not for secrets
	at, samples := someSamples(r, 1500, 8)
	for i, list := range samples {
		h.Record(at[i], list)
		h.Save(at[i])
		switch i {
		case 300, 500:
			h.Fault(at[i], syscall.EIO)
		case 700:
			if err := errors.Join(os.Rename(dir, dir+".old"), os.Mkdir(dir, 0o700)); err != nil {
				t.Error(err)
			}
		}
	}
	close(end)
	wg.Wait()
	if k := h.Kept(); !k.Stored || h.Top("", time.Time{}, time.Time{}, 1).Seconds == 0 {
		t.Errorf("%+v", k)
	}
}

// A directory that is read stays open after the one that it came from.
func TestReader(t *testing.T) {
	path := stateDir(t)
	d, err := files.Open(path, "history")
	if err != nil {
		t.Fatal(err)
	}
	reader, err := d.Reader()
	if err = errors.Join(err, d.Close(), os.WriteFile(path+"/x", []byte("hello"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if again, err := files.Open(path, "history"); err != nil || again.Close() != nil {
		t.Errorf("it is locked: %v", err)
	}
	if b, err := reader.ReadTo([]byte("> "), "x", 5); err != nil || string(b) != "> hello" {
		t.Errorf("%q, %v", b, err)
	}
	if n, err := reader.Size("x"); err != nil || n != 5 {
		t.Errorf("%d, %v", n, err)
	}
	_, large := reader.ReadTo(nil, "x", 4)
	_, none := reader.ReadTo(nil, "y", 4)
	_, closed := d.ReadTo(nil, "x", 5)
	if !errors.Is(large, safefile.ErrTooLarge) || !errors.Is(none, os.ErrNotExist) || !errors.Is(closed, os.ErrClosed) {
		t.Errorf("%v; %v; %v", large, none, closed)
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
}
