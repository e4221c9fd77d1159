package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/appside/control"
)

// throttle is one that is within its bounds.
func throttle(percent float64, d time.Duration) control.Throttle {
	return control.Throttle{Percent: percent, Until: time.Now().Add(d)}
}

// read returns the file of an app; nil: there is none.
func read(t *testing.T, dir, app string) map[string]map[string]any {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, app+".json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	if string(all["version"]) != "1" {
		t.Errorf("version %s", all["version"])
	}
	out := make(map[string]map[string]any)
	for k, v := range all {
		if k != "version" {
			var part map[string]any
			if err := json.Unmarshal(v, &part); err != nil {
				t.Fatal(err)
			}
			out[k] = part
		}
	}
	return out
}

// place returns a directory that is not there yet, as its parent.
func place(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "resp-exporter", "control")
}

// All requests to one app are in one file, each part until it expires.
func TestOneFile(t *testing.T) {
	dir := place(t)
	w := control.New(dir, nil)
	if err := errors.Join(
		w.SetThrottle("shop", throttle(30, time.Minute)),
		w.SetGarbage("shop", control.Garbage{Run: "r-1", Until: time.Now().Add(time.Minute), Stagger: 2 * time.Second}),
		w.SetThrottle("blog", control.Throttle{Percent: 5, Target: 500 * time.Millisecond, Until: time.Now().Add(time.Minute)}),
	); err != nil {
		t.Fatal(err)
	}
	got := read(t, dir, "shop")
	if got["throttle"]["percent"] != 30.0 || got["collect_garbage"]["run"] != "r-1" || got["collect_garbage"]["stagger_seconds"] != 2.0 {
		t.Errorf("shop: %v", got)
	}
	if got := read(t, dir, "blog"); got["throttle"]["target_seconds"] != 0.5 || len(got) != 1 {
		t.Errorf("blog: %v", got)
	}
	if err := errors.Join(w.EndGarbage("shop", "r-other"), w.EndThrottle("shop"), w.EndThrottle("blog")); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir, "shop"); len(got) != 1 || got["collect_garbage"] == nil {
		t.Errorf("shop, when only the garbage is left: %v", got)
	}
	if read(t, dir, "blog") != nil || w.Asked("shop").Garbage == nil || w.Asked("blog") != (control.Asked{}) || w.Stats().Files != 1 {
		t.Errorf("blog: %v, asked %+v, stats %+v", read(t, dir, "blog"), w.Asked("blog"), w.Stats())
	}
	if names, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(names) != 1 {
		t.Errorf("files left: %v, %v", names, err)
	}
}

// resp_flask.py follows the written file with any umask.
func TestRespFlaskFollows(t *testing.T) {
	dir := place(t)
	w := control.New(dir, nil)
	const app = "shop.eu:web_1@a~b-c"
	if err := errors.Join(
		w.SetThrottle(app, control.Throttle{Percent: 30, Target: 250 * time.Millisecond, Until: time.Now().Add(control.MaxThrottle)}),
		w.SetGarbage(app, control.Garbage{Run: "r-1", Until: time.Now().Add(time.Minute)}),
		w.SetRestart(app, control.RestartTask{Run: "r-2", Task: "mail", PID: 7, Until: time.Now().Add(time.Minute)}),
		w.SetTrace(app, control.Trace{Run: "r-3", PID: 7, For: 20 * time.Second, Until: time.Now().Add(time.Minute)}),
	); err != nil {
		t.Fatal(err)
	}
	const program = `import sys; sys.path.insert(0, sys.argv[1])
import resp_flask
c = resp_flask.Resp(sys.argv[3], statsd="", control_dir=sys.argv[2]).control
c.look()
print(c.throttle.percent, c.throttle.target, c.garbage.run, c.restart.run, c.restart.task.decode(), c.restart.pid, c.trace.run, c.trace.pid, c.trace.seconds)`
	out, err := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", program, "../../../integrations/flask", dir, app).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "30 0.25 r-1 r-2 mail 7 r-3 7 20" {
		t.Errorf("%v: %s", err, out)
	}
	for path, want := range map[string]os.FileMode{filepath.Dir(dir): 0o755, dir: 0o755, filepath.Join(dir, app+".json"): 0o644} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
}

// What is over is removed in time, and all of it at the end.
func TestEnds(t *testing.T) {
	dir := place(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		w := control.New(dir, nil)
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		if err := errors.Join(w.SetThrottle("short", throttle(10, 5*time.Second)), w.SetThrottle("long", throttle(10, time.Minute))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(7 * time.Second)
		if read(t, dir, "short") != nil || read(t, dir, "long") == nil {
			t.Errorf("after 7 s: short %v, long %v", read(t, dir, "short"), read(t, dir, "long"))
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if read(t, dir, "long") != nil {
			t.Error("a file is left at the end")
		}
		if err := w.SetThrottle("long", throttle(10, time.Minute)); !errors.Is(err, control.ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// The next exporter removes what one that was killed left behind, and nothing else; it
// leaves the files of one that runs.
func TestRestores(t *testing.T) {
	for name, alive := range map[string]bool{"killed": false, "alive": true} {
		t.Run(name, func(t *testing.T) {
			dir := place(t)
			before := control.New(dir, nil)
			if err := before.SetThrottle("shop", throttle(10, time.Minute)); err != nil {
				t.Fatal(err)
			}
			for _, other := range []string{"notes.txt", ".hidden.json"} {
				if err := os.WriteFile(filepath.Join(dir, other), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if !alive {
				control.Abandon(before)
			}
			ctx, stop := context.WithCancel(t.Context())
			stop()
			w := control.New(dir, nil)
			if err := w.Run(ctx); err != nil {
				t.Fatal(err)
			}
			if left := read(t, dir, "shop") != nil; left != alive {
				t.Errorf("the file is left: %t", left)
			}
			if n := w.Stats().Restored; (n == 1) == alive {
				t.Errorf("%d files restored", n)
			}
			for _, other := range []string{"notes.txt", ".hidden.json"} {
				if _, err := os.Stat(filepath.Join(dir, other)); err != nil {
					t.Error(err)
				}
			}
			if err := control.New(dir, nil).Check("shop"); err != nil { // it needs no lock
				t.Errorf("check: %v", err)
			}
			if err := control.New(dir, nil).SetThrottle("shop", throttle(10, time.Minute)); errors.Is(err, control.ErrLocked) != alive {
				t.Errorf("set: %v", err)
			}
		})
	}
}

// A directory that another exporter has for a while keeps no file for ever: what it left is
// removed when it is free, and a write waits for a moment.
func TestLockedForAWhile(t *testing.T) {
	dir := place(t)
	synctest.Test(t, func(t *testing.T) {
		before := control.New(dir, nil)
		if err := before.SetThrottle("shop", throttle(10, time.Minute)); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		w, done := control.New(dir, nil), make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		time.Sleep(50 * time.Millisecond) // it has tried
		if w.Stats().Restored != 0 {
			t.Fatal("restored while it is locked")
		}
		control.Abandon(before)
		time.Sleep(10 * time.Second)
		if w.Stats().Restored != 1 || read(t, dir, "shop") != nil {
			t.Errorf("stats %+v, file %v", w.Stats(), read(t, dir, "shop"))
		}
		holder, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = holder.Close() }()
		if err := unix.Flock(int(holder.Fd()), unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		freed := make(chan error, 1)
		go func() {
			time.Sleep(60 * time.Millisecond)
			freed <- unix.Flock(int(holder.Fd()), unix.LOCK_UN)
		}()
		if err := w.SetThrottle("shop", throttle(10, time.Minute)); err != nil {
			t.Errorf("locked for a moment: %v", err)
		}
		if err := <-freed; err != nil {
			t.Error(err)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A directory that was removed is made again, with all requests.
func TestDirectoryRemoved(t *testing.T) {
	dir := place(t)
	synctest.Test(t, func(t *testing.T) {
		w := control.New(dir, nil)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go func() { _ = w.Run(ctx) }()
		if err := w.SetThrottle("shop", throttle(10, time.Minute)); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Dir(dir)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if read(t, dir, "shop") == nil {
			t.Error("the file is not written again")
		}
	})
}

// A request that cannot be written is not kept, also where others have just expired.
func TestNotKeptUnlessWritten(t *testing.T) {
	dir := place(t)
	synctest.Test(t, func(t *testing.T) {
		w := control.New(dir, nil)
		until := time.Now().Add(10 * time.Second)
		if err := errors.Join(
			w.SetGarbage("shop", control.Garbage{Run: "a", Until: until}),
			w.SetRestart("shop", control.RestartTask{Run: "b", Task: "cleanup", PID: 7, Until: until}),
		); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Second)
		if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		if err := w.SetThrottle("shop", throttle(10, time.Minute)); err == nil {
			t.Error("no error, although the directory is a file")
		}
		if a := w.Asked("shop"); a.Throttle != nil {
			t.Errorf("kept: %+v", a.Throttle)
		}
	})
}

func TestRefused(t *testing.T) {
	good := throttle(10, time.Minute)
	w := control.New(place(t), nil)
	for name, c := range map[string]struct {
		err  error
		want error
	}{
		"path in the name":    {w.SetThrottle("../shop", good), control.ErrName},
		"hidden":              {w.SetThrottle(".shop", good), control.ErrName},
		"no name":             {w.SetThrottle("", good), control.ErrName},
		"long name":           {w.SetThrottle(strings.Repeat("a", 65), good), control.ErrName},
		"line break":          {w.SetThrottle("shop\n", good), control.ErrName},
		"percent":             {w.SetThrottle("shop", throttle(96, time.Minute)), control.ErrBounds},
		"throttle too long":   {w.SetThrottle("shop", throttle(10, 31*time.Minute)), control.ErrBounds},
		"stagger":             {w.SetGarbage("shop", control.Garbage{Run: "r", Until: time.Now(), Stagger: time.Hour}), control.ErrBounds},
		"run":                 {w.SetGarbage("shop", control.Garbage{Run: strings.Repeat("r", 33), Until: time.Now()}), control.ErrBounds},
		"task":                {w.SetRestart("shop", control.RestartTask{Run: "r", Task: strings.Repeat("t", 49), PID: 1, Until: time.Now()}), control.ErrBounds},
		"no process":          {w.SetRestart("shop", control.RestartTask{Run: "r", Task: "t", Until: time.Now()}), control.ErrBounds},
		"trace too long":      {w.SetTrace("shop", control.Trace{Run: "r", PID: 1, For: time.Hour, Until: time.Now()}), control.ErrBounds},
		"off":                 {control.New("", nil).SetThrottle("shop", good), control.ErrOff},
		"check, off":          {control.New("", nil).Check("shop"), control.ErrOff},
		"check, name":         {w.Check("a/b"), control.ErrName},
		"end of what is not":  {w.EndThrottle("shop"), nil},
		"check, to be made":   {w.Check("shop"), nil},
		"directory is a file": {control.New(file(t), nil).SetThrottle("shop", good), unix.ENOTDIR},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", name, c.err, c.want)
		}
	}
	if s := w.Stats(); s != (control.Stats{}) {
		t.Errorf("stats %+v", s)
	}
}

func file(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "control")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A directory in which others can write, or that is another user's, is not used.
func TestDirectoryOfOthers(t *testing.T) {
	for name, c := range map[string]func(dir string) error{
		"writable": func(dir string) error { return os.Chmod(dir, 0o777) },
		"his":      func(dir string) error { return os.Chown(dir, 65534, -1) },
		"a link":   func(dir string) error { return errors.Join(os.Remove(dir), os.Symlink("/tmp", dir)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "control")
			if err := errors.Join(os.Mkdir(dir, 0o755), c(dir)); err != nil {
				t.Fatal(err)
			}
			w := control.New(dir, nil)
			if err := w.SetThrottle("shop", throttle(10, time.Minute)); err == nil || w.Check("shop") == nil {
				t.Errorf("set: %v, check: %v", err, w.Check("shop"))
			}
			if s := w.Stats(); s.Failures != 1 || s.Files != 0 || w.Asked("shop") != (control.Asked{}) {
				t.Errorf("stats %+v, asked %+v", s, w.Asked("shop"))
			}
		})
	}
}

// The number of files is bounded.
func TestFull(t *testing.T) {
	w := control.New(place(t), nil)
	var err error
	for i := range 300 {
		if err = w.SetThrottle(fmt.Sprint("app", i), throttle(10, time.Minute)); err != nil {
			break
		}
	}
	if !errors.Is(err, control.ErrFull) || w.Stats().Files != 256 {
		t.Errorf("%v with %d files", err, w.Stats().Files)
	}
}
