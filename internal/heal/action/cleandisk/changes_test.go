package cleandisk_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
)

// Files that another process has open or has mapped are kept, in all ways to open one.
func TestPlanOpenFiles(t *testing.T) {
	t.Parallel()
	d := dir(t)
	fill(t, d, "a.log.1", "b.log.1", "c.log.1", "d.log.1")
	reads := actiontest.StartShell(t, "exec 3< "+d+"/a.log.1; exec 4>> "+d+"/b.log.1; exec /bin/sleep 300")
	actiontest.WaitFor(t, func() bool {
		to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/4", reads.Process.Pid))
		exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", reads.Process.Pid))
		return strings.HasSuffix(to, "/b.log.1") && strings.HasSuffix(exe, "/sleep")
	})
	f, err := os.Open(filepath.Join(d, "c.log.1"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(m) }()
	a := clean(settings(d))
	p := planned(t, a, nil)
	if got := names(p); !slices.Equal(got, []string{"d.log.1"}) {
		t.Fatalf("%v, %+v", got, p)
	}
	held, err := os.Open(filepath.Join(d, "d.log.1"))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := a.Apply(t.Context(), p); n != 0 || err == nil || len(left(t, d)) != 4 {
		t.Errorf("opened after the plan: %d, %v", n, err)
	}
	if p := planned(t, a, nil); p.Refused.Code != action.CodeFilesOpen {
		t.Errorf("%+v", p)
	}
	_ = held.Close()
	if n, err := a.Apply(t.Context(), p); n != 1 || err != nil || len(left(t, d)) != 3 {
		t.Errorf("%d, %v", n, err)
	}
}

// What has changed between Plan and Apply stays.
func TestApplyChanged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(d, file string) error
		stays  string // of the directory, "" for the file
	}{
		"written":  {func(_, file string) error { return os.WriteFile(file, []byte("new"), 0o600) }, ""},
		"touched":  {func(_, file string) error { return os.Chtimes(file, time.Now(), time.Now()) }, ""},
		"replaced": {func(_, file string) error { return errors.Join(os.Remove(file), os.WriteFile(file, nil, 0o600)) }, ""},
		"linked":   {func(d, file string) error { return os.Link(file, filepath.Join(d, "x")) }, ""},
		"a link": {func(d, file string) error {
			return errors.Join(os.Rename(file, filepath.Join(d, "x")), os.Symlink("x", file))
		}, "x"},
		"a fifo":    {func(d, file string) error { return errors.Join(os.Remove(file), syscall.Mkfifo(file, 0o600)) }, ""},
		"renamed":   {func(d, file string) error { return os.Rename(file, filepath.Join(d, "x.log.1")) }, "x.log.1"},
		"writable":  {func(d, _ string) error { return os.Chmod(d, 0o777) }, ""},
		"moved":     {func(d, _ string) error { return errors.Join(os.Rename(d, d+".moved"), os.Symlink(d+".moved", d)) }, ""},
		"cancelled": {func(string, string) error { return nil }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := filepath.Join(dir(t), "logs")
			if err := os.Mkdir(d, 0o755); err != nil {
				t.Fatal(err)
			}
			fill(t, d, "a.log.1")
			a := clean(settings(d))
			p := planned(t, a, nil)
			if p.Total != 1 {
				t.Fatalf("%+v", p)
			}
			if err := c.change(d, filepath.Join(d, "a.log.1")); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if name == "cancelled" {
				cancel()
			}
			n, err := a.Apply(ctx, p)
			stays := c.stays
			if stays == "" {
				stays = "a.log.1"
			}
			if n != 0 || err == nil || !slices.Contains(left(t, d), stays) {
				t.Errorf("%d, %v, %v", n, err, left(t, d))
			}
		})
	}
	if n, err := clean(settings("/srv/x")).Apply(t.Context(), action.Plan{}); n != 0 || !errors.Is(err, action.ErrNotPlanned) {
		t.Errorf("%d, %v", n, err)
	}
}

// One file that has changed keeps none of the others.
func TestApplyRest(t *testing.T) {
	t.Parallel()
	d, e := dir(t), dir(t)
	fill(t, d, "a.log.1", "b.log.1")
	fill(t, e, "c.log.1", "keep")
	a := clean(settings(d, e))
	p := planned(t, a, nil)
	if err := os.Chtimes(filepath.Join(d, "a.log.1"), time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if n, err := a.Apply(t.Context(), p); p.Total != 3 || n != 2 || err != nil || len(left(t, d)) != 1 || !slices.Equal(left(t, e), []string{"keep"}) {
		t.Errorf("%d of %d, %v, %v, %v", n, p.Total, err, left(t, d), left(t, e))
	}
}

// Verified is a file system with fewer bytes in use, also by a plan from the journal.
func TestVerify(t *testing.T) {
	t.Parallel()
	d := dir(t)
	fill(t, d, "a.log.1")
	a := clean(settings(d))
	p := planned(t, a, nil)
	p.Victims[0].Info["bytes"] = "1000"
	for name, c := range map[string]struct {
		change func(*action.Plan)
		want   action.Outcome
	}{
		"less is used":  {func(p *action.Plan) { p.Measure *= 2 }, action.Verified},
		"more is used":  {func(p *action.Plan) { p.Measure /= 2 }, action.Unchanged},
		"no files":      {func(p *action.Plan) { p.Victims = nil }, action.Unchanged},
		"another place": {func(p *action.Plan) { p.Victims[0].Info["directory"] = "/etc"; p.Measure *= 2 }, action.Unchanged},
		"no number":     {func(p *action.Plan) { p.Victims[0].Info["bytes"] = "-1"; p.Measure *= 2 }, action.Unchanged},
	} {
		b, err := json.Marshal(p)
		var read action.Plan
		if err == nil {
			err = json.Unmarshal(b, &read)
		}
		if err != nil {
			t.Fatal(err)
		}
		c.change(&read)
		if got, err := a.Verify(t.Context(), read); got != c.want || err != nil {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}

// The victims of two plans differ where a file of the same name is another one.
func TestIdentity(t *testing.T) {
	t.Parallel()
	d := dir(t)
	fill(t, d, "a.log.1")
	a := clean(settings(d))
	first := planned(t, a, nil).Victims[0]
	if again := planned(t, a, nil).Victims[0]; again.Key() != first.Key() {
		t.Error("one file has two keys")
	}
	if err := os.WriteFile(filepath.Join(d, "a.log.1"), []byte("longer than before"), 0o600); err != nil {
		t.Fatal(err)
	}
	if other := planned(t, a, nil).Victims[0]; other.Key() == first.Key() {
		t.Error("two files have one key")
	}
}

// What keeps the action from a directory is known before an alert comes.
func TestLacks(t *testing.T) {
	t.Parallel()
	d := dir(t)
	open := filepath.Join(dir(t), "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	chmod(t, open, 0o777)
	var got []action.Code
	for _, lack := range clean(settings(d, d+"/gone", open, "/proc/1", "/etc")).Lacks() {
		got = append(got, lack.Code)
	}
	if want := []action.Code{action.CodeNoDirectory, action.CodeDirectoryUntrusted, action.CodeFileSystem, action.CodeDirectoryDenied}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	s := settings(d)
	s.Owner = "no-such-user"
	if lacks := clean(s).Lacks(); len(lacks) != 1 || lacks[0].Code != action.CodeSettingUnknown {
		t.Errorf("%+v", lacks)
	}
}
