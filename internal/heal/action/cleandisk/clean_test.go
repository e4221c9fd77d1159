package cleandisk_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/cleandisk"
)

const later = 48 * time.Hour // after the files of a test were written

// settings match files of a directory that are a day old.
func settings(dirs ...string) config.CleanDisk {
	return config.CleanDisk{Directories: dirs, Patterns: []string{"*.log.*"}, MinAge: 24 * time.Hour, MaxFiles: 100, MaxBytes: 1 << 30, MaxFraction: 1}
}

func clean(c config.CleanDisk) *cleandisk.Action {
	return cleandisk.New(cleandisk.Deps{ProcRoot: "/proc", RootFS: "/", StateDir: "/nowhere"}, c).After(later)
}

// dir returns a new directory whose path has no links.
func dir(t *testing.T) string {
	t.Helper()
	d, err := filepath.EvalSymlinks(t.TempDir())
	if err == nil {
		err = os.Chmod(d, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// fill writes files of a block each into a directory; the first is the oldest.
func fill(t *testing.T, d string, names ...string) {
	t.Helper()
	for i, name := range names {
		file := filepath.Join(d, name)
		at := time.Now().Add(time.Duration(i-len(names)) * time.Minute)
		if err := errors.Join(os.WriteFile(file, []byte(strings.Repeat("x", 4096)), 0o600), os.Chtimes(file, at, at)); err != nil {
			t.Fatal(err)
		}
	}
}

func names(p action.Plan) (out []string) {
	for _, v := range p.Victims {
		out = append(out, v.ID)
	}
	return out
}

func left(t *testing.T, d string) (out []string) {
	t.Helper()
	list, err := os.ReadDir(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		out = append(out, e.Name())
	}
	return out
}

func planned(t *testing.T, a *cleandisk.Action, labels map[string]string) action.Plan {
	t.Helper()
	p, err := a.Plan(t.Context(), action.PlanRequest{Alert: action.Alert{Labels: labels}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// needRoot fails a test that takes another user.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("run this test as root: it has files of other users")
	}
}

// Which files are planned, the oldest first.
func TestPlan(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files  []string
		change func(*testing.T, string)
		set    func(*config.CleanDisk)
		want   string
		code   action.Code
	}{
		"the oldest first":    {files: []string{"b.log.2", "a.log.1", "c.txt"}, want: "b.log.2 a.log.1"},
		"the newest are kept": {files: []string{"a.log.3", "a.log.2", "a.log.1"}, set: func(c *config.CleanDisk) { c.KeepNewest = 2 }, want: "a.log.3"},
		"none is left":        {files: []string{"a.log.1"}, set: func(c *config.CleanDisk) { c.KeepNewest = 1 }, code: action.CodeNoFiles},
		"no name matches":     {files: []string{"a.txt"}, code: action.CodeNoFiles},
		"too young":           {files: []string{"a.log.1"}, set: func(c *config.CleanDisk) { c.MinAge = 72 * time.Hour }, code: action.CodeNoFiles},
		"at most two":         {files: []string{"a.log.3", "a.log.2", "a.log.1"}, set: func(c *config.CleanDisk) { c.MaxFiles = 2 }, want: "a.log.3 a.log.2"},
		"at most two blocks":  {files: []string{"a.log.3", "a.log.2", "a.log.1"}, set: func(c *config.CleanDisk) { c.MaxBytes = 8192 }, want: "a.log.3 a.log.2"},
		"one is too large":    {files: []string{"a.log.1"}, set: func(c *config.CleanDisk) { c.MaxBytes = 100 }, code: action.CodeOverBytes},
		"too many of all":     {files: []string{"a.log.1", "a.log.2", "c.txt"}, set: func(c *config.CleanDisk) { c.MaxFraction = 0.5 }, code: action.CodeOverFraction},
		"just not too many":   {files: []string{"a.log.1", "c.txt"}, set: func(c *config.CleanDisk) { c.MaxFraction = 0.5 }, want: "a.log.1"},
		"hidden":              {files: []string{".a.log.1", "a.log.1"}, want: "a.log.1"},
		"a second pattern":    {files: []string{"a.log.1", "core.12"}, set: func(c *config.CleanDisk) { c.Patterns = append(c.Patterns, "core.[0-9]*") }, want: "a.log.1 core.12"},
		"not what it seems": {files: []string{"a.log.1"}, change: func(t *testing.T, d string) {
			t.Helper()
			err := errors.Join(
				os.Symlink("/etc/passwd", filepath.Join(d, "b.log.1")), os.Mkdir(filepath.Join(d, "c.log.1"), 0o700), syscall.Mkfifo(filepath.Join(d, "d.log.1"), 0o600),
				os.WriteFile(filepath.Join(d, "e"), nil, 0o600), os.Link(filepath.Join(d, "e"), filepath.Join(d, "e.log.1")),
			)
			fill(t, filepath.Join(d, "c.log.1"), "f.log.1")
			if err != nil {
				t.Fatal(err)
			}
		}, want: "a.log.1"},
		"no settings":          {set: func(c *config.CleanDisk) { c.MaxFiles = 0 }, code: action.CodeSettingMissing},
		"hasty":                {set: func(c *config.CleanDisk) { c.MinAge = time.Minute }, code: action.CodeSettingMissing},
		"others can write":     {files: []string{"a.log.1"}, change: func(t *testing.T, d string) { t.Helper(); chmod(t, d, 0o777) }, code: action.CodeDirectoryUntrusted},
		"its group can write":  {files: []string{"a.log.1"}, change: func(t *testing.T, d string) { t.Helper(); chmod(t, d, 0o775) }, code: action.CodeDirectoryUntrusted},
		"sticky, and no owner": {files: []string{"a.log.1"}, change: func(t *testing.T, d string) { t.Helper(); chmod(t, d, 0o777|os.ModeSticky) }, code: action.CodeDirectoryUntrusted},
		"sticky, and an owner": {
			files: []string{"a.log.1"}, change: func(t *testing.T, d string) { t.Helper(); chmod(t, d, 0o777|os.ModeSticky) },
			set: func(c *config.CleanDisk) { c.Owner = strconv.Itoa(os.Geteuid()) }, want: "a.log.1",
		},
		"of another owner": {files: []string{"a.log.1"}, set: func(c *config.CleanDisk) { c.Owner = "4711" }, code: action.CodeNoFiles},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := dir(t)
			fill(t, d, c.files...)
			if c.change != nil {
				c.change(t, d)
			}
			s := settings(d)
			if c.set != nil {
				c.set(&s)
			}
			before := left(t, d)
			p := planned(t, clean(s), nil)
			if got := strings.Join(names(p), " "); got != c.want || p.Refused.Code != c.code || p.Total != len(p.Victims) || p.Cleared {
				t.Errorf("%q, %+v", got, p)
			}
			if !slices.Equal(before, left(t, d)) {
				t.Error("the plan has changed the directory")
			}
		})
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// A file that was moved here or renamed a short time ago stays, however old what is in it
// is: its time of writing can be set, and its time of change cannot.
func TestPlanMoved(t *testing.T) {
	t.Parallel()
	d := dir(t)
	fill(t, d, "a.log.1")
	old := time.Now().Add(-1000 * time.Hour)
	if err := os.Chtimes(filepath.Join(d, "a.log.1"), old, old); err != nil {
		t.Fatal(err)
	}
	a := cleandisk.New(cleandisk.Deps{ProcRoot: "/proc"}, settings(d))
	if p := planned(t, a.After(59*time.Minute), nil); p.Refused.Code != action.CodeNoFiles {
		t.Errorf("%+v", p)
	}
	if p := planned(t, a.After(61*time.Minute), nil); p.Total != 1 {
		t.Errorf("%+v", p)
	}
}

// A file system with enough room is left alone.
func TestPlanCleared(t *testing.T) {
	t.Parallel()
	d := dir(t)
	fill(t, d, "a.log.1")
	s := settings(d)
	s.MinUsed = 1.1
	if p := planned(t, clean(s), nil); !p.Cleared || p.Total != 0 {
		t.Errorf("%+v", p)
	}
}

// Directories that are never touched, and those that are no directories.
func TestPlanDirectories(t *testing.T) {
	t.Parallel()
	d := dir(t)
	fill(t, d, "a.log.1")
	link := filepath.Join(dir(t), "link")
	if err := os.Symlink(d, link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]action.Code{
		"/": action.CodeDirectoryDenied, "/etc": action.CodeDirectoryDenied, "/etc/ssl": action.CodeDirectoryDenied, "/usr/share/doc": action.CodeDirectoryDenied,
		"/home": action.CodeDirectoryDenied, "/nowhere": action.CodeDirectoryDenied, "/nowhere/x": action.CodeDirectoryDenied, "/proc/self": action.CodeFileSystem,
		d + "/gone": action.CodeNoDirectory, d + "/a.log.1": action.CodeDirectoryUntrusted, link: action.CodeDirectoryUntrusted, link + "/x": action.CodeDirectoryUntrusted,
	} {
		if p := planned(t, clean(settings(path)), nil); p.Refused.Code != want && (path != "/proc/self" || p.Refused.Code != action.CodeDirectoryDenied) || p.Total != 0 {
			t.Errorf("%s: %+v", path, p)
		}
	}
}

// A directory that a stranger could move away, with another one to put in its place.
func TestPlanMovable(t *testing.T) {
	t.Parallel()
	top := dir(t)
	d := filepath.Join(top, "mid", "logs")
	if err := os.MkdirAll(d, 0o755); err != nil {
		t.Fatal(err)
	}
	fill(t, d, "a.log.1")
	chmod(t, filepath.Dir(d), 0o777)
	if p := planned(t, clean(settings(d)), nil); p.Refused.Code != action.CodeDirectoryUntrusted {
		t.Errorf("%+v", p)
	}
	chmod(t, filepath.Dir(d), 0o777|os.ModeSticky)
	if p := planned(t, clean(settings(d)), nil); p.Total != 1 {
		t.Errorf("sticky: %+v", p)
	}
	needRoot(t)
	if err := os.Chown(filepath.Dir(d), 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if p := planned(t, clean(settings(d)), nil); p.Refused.Code != action.CodeDirectoryUntrusted {
		t.Errorf("of a stranger: %+v", p)
	}
}

// In a directory of another user, or where all can write, only the files of the owner go.
func TestPlanOwner(t *testing.T) {
	t.Parallel()
	needRoot(t)
	d := dir(t)
	fill(t, d, "a.log.1", "b.log.1", "c.log.1")
	for name, uid := range map[string]int{"": 65534, "a.log.1": 65534, "b.log.1": 65533} {
		if err := os.Chown(filepath.Join(d, name), uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	s := settings(d)
	if p := planned(t, clean(s), nil); p.Refused.Code != action.CodeDirectoryUntrusted {
		t.Errorf("no owner: %+v", p)
	}
	s.Owner = "65534"
	a := clean(s)
	p := planned(t, a, nil)
	if got := names(p); !slices.Equal(got, []string{"a.log.1"}) {
		t.Fatalf("%v, %+v", got, p)
	}
	if n, err := a.Apply(t.Context(), p); n != 1 || err != nil || !slices.Equal(left(t, d), []string{"b.log.1", "c.log.1"}) {
		t.Errorf("%d, %v, %v", n, err, left(t, d))
	}
	s.Owner = "no-such-user"
	if _, err := clean(s).Plan(t.Context(), action.PlanRequest{}); err == nil {
		t.Error("an unknown owner is planned with")
	}
}

// The label mountpoint selects among the directories, and is never part of a path.
func TestPlanLabel(t *testing.T) {
	t.Parallel()
	d := dir(t)
	fill(t, d, "a.log.1")
	a := clean(settings(d))
	first := planned(t, a, nil)
	point, ok := strings.CutPrefix(first.Target, "disk:")
	if !ok || point == "" || first.Total != 1 {
		t.Fatalf("%+v", first)
	}
	labels := map[string]string{"mountpoint": point}
	if p := planned(t, a, labels); p.Total != 1 || p.Target != first.Target {
		t.Errorf("%+v", p)
	}
	for _, label := range append(slices.Collect(func(yield func(string) bool) {
		for _, v := range actiontest.Payloads() {
			if !yield(v) {
				return
			}
		}
	}), "/proc", d, point+"/..", "/proc/../"+point) {
		if p := planned(t, a, map[string]string{"mountpoint": label}); p.Total != 0 || p.Refused.Code != action.CodeOtherFileSystem && label != point {
			t.Errorf("%q: %+v", label, p)
		}
	}
}

func TestMain(m *testing.M) { actiontest.Main(m) }
