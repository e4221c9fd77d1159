package cleandisk_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/cleandisk"
)

// The directories of the system are denied below the root of the host as well, also through
// a link there.
func TestDeniedBelowRootFS(t *testing.T) {
	t.Parallel()
	root := dir(t)
	logs, etc := filepath.Join(root, "var/log/shop"), filepath.Join(root, "etc/ssl")
	usr, mysql := filepath.Join(root, "usr/lib/x"), filepath.Join(root, "data/mysql")
	for _, d := range []string{logs, etc, usr, mysql, filepath.Join(root, "var/lib")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/data/mysql", filepath.Join(root, "var/lib/mysql")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]action.Code{
		logs: "", etc: action.CodeDirectoryDenied, filepath.Dir(etc): action.CodeDirectoryDenied, usr: action.CodeDirectoryDenied, mysql: action.CodeDirectoryDenied,
		root: action.CodeDirectoryDenied, filepath.Join(root, "var"): action.CodeDirectoryDenied, filepath.Join(root, "data"): "",
	} {
		fill(t, path, "a.log.1")
		a := cleandisk.New(cleandisk.Deps{ProcRoot: "/proc", RootFS: root + "/"}, settings(path)).After(later)
		if p := planned(t, a, nil); p.Refused.Code != want || (p.Total == 1) != (want == "") {
			t.Errorf("%s: %+v", path, p)
		}
	}
}

// The state directory is denied with all below, however it is written.
func TestDeniedStateDir(t *testing.T) {
	t.Parallel()
	top := dir(t)
	state := filepath.Join(top, "state")
	link := filepath.Join(top, "link")
	if err := errors.Join(os.MkdirAll(filepath.Join(state, "below"), 0o755), os.Symlink("state", link)); err != nil {
		t.Fatal(err)
	}
	fill(t, state, "a.log.1")
	fill(t, filepath.Join(state, "below"), "a.log.1")
	fill(t, top, "a.log.1")
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	relative, err := filepath.Rel(here, state)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{state, state + "/", relative, link, link + "/../link/", filepath.Join(top, "x") + "/../state"} {
		for path, want := range map[string]action.Code{state: action.CodeDirectoryDenied, state + "/below": action.CodeDirectoryDenied, top: ""} {
			a := cleandisk.New(cleandisk.Deps{ProcRoot: "/proc", RootFS: "/", StateDir: name}, settings(path)).After(later)
			if p := planned(t, a, nil); p.Refused.Code != want {
				t.Errorf("state %s: %s: %+v", name, path, p)
			}
		}
	}
}

// A denied directory stays denied where a bind mount shows it, or a directory below it,
// under another path.
func TestDeniedBindMount(t *testing.T) {
	t.Parallel()
	needRoot(t)
	top := dir(t)
	state, free := filepath.Join(top, "state"), filepath.Join(top, "free")
	for _, d := range []string{filepath.Join(state, "below"), free, filepath.Join(top, "a"), filepath.Join(top, "b"), filepath.Join(top, "c"), filepath.Join(top, "d/etc")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	fill(t, free, "a.log.1")
	err := withMounts(t, func(proc string) error {
		for to, from := range map[string]string{"a": state, "b": filepath.Join(state, "below"), "c": free, "d/etc": "/etc/ssl"} {
			if err := unix.Mount(from, filepath.Join(top, to), "", unix.MS_BIND, ""); err != nil {
				return fmt.Errorf("bind mount %s: %w", from, err)
			}
		}
		for path, want := range map[string]action.Code{
			"a": action.CodeDirectoryDenied, "a/below": action.CodeDirectoryDenied, "b": action.CodeDirectoryDenied, "c": "", "d/etc": action.CodeDirectoryDenied,
		} {
			a := cleandisk.New(cleandisk.Deps{ProcRoot: proc, RootFS: "/", StateDir: state}, settings(filepath.Join(top, path))).After(later)
			p, err := a.Plan(t.Context(), action.PlanRequest{})
			if err != nil || p.Refused.Code != want {
				t.Errorf("%s: %+v, %v", path, p, err)
			}
		}
		return nil
	})
	if errors.Is(err, unix.EPERM) {
		t.Fatal("run this test as root, with the right to mount")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// withMounts runs f on a thread with mounts of its own, which end with it. proc is a /proc
// whose mount table is that of the thread.
func withMounts(t *testing.T, f func(proc string) error) error {
	t.Helper()
	proc, result := t.TempDir(), make(chan error, 1)
	go func() {
		err := errors.New("the goroutine has ended")
		defer func() { result <- err }()
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if unix.Gettid() == os.Getpid() {
			err = withMounts(t, f) // the first thread cannot end
			runtime.UnlockOSThread()
			return
		}
		err = errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			os.Symlink(fmt.Sprintf("/proc/%d/task/%d", os.Getpid(), unix.Gettid()), filepath.Join(proc, "self")))
		if err == nil {
			err = f(proc)
		}
	}()
	return <-result
}
