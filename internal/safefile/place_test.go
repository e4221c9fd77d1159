package safefile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

// locate opens the place of a path, and closes it after the test.
func locate(t *testing.T, path string) *safefile.Place {
	t.Helper()
	p, err := safefile.Locate(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func TestLocate(t *testing.T) {
	dir := t.TempDir()
	make := func(name string, mode os.FileMode, uid int) string {
		d := filepath.Join(dir, name)
		if err := errors.Join(os.Mkdir(d, 0o700), os.Chown(d, uid, -1), os.Chmod(d, mode)); err != nil {
			t.Fatal(err)
		}
		return d
	}
	closed := make("closed", 0o755, -1)
	if err := os.Symlink(closed, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if p := locate(t, filepath.Join(closed, "x")); p.Shared || p.Name != "x" {
		t.Errorf("%+v", p)
	}
	if p := locate(t, filepath.Join(dir, "link", "x")); p.Shared {
		t.Errorf("%+v", p)
	}
	if p := locate(t, filepath.Join(make("sticky", 0o777|os.ModeSticky, -1), "x")); !p.Shared {
		t.Errorf("%+v", p)
	}
	for name, d := range map[string]string{
		"writable":           make("writable", 0o777, -1),
		"writable by group":  make("group", 0o775, -1),
		"a stranger's":       make("stranger", 0o755, 65534),
		"a stranger's /tmp":  make("strangertmp", 0o777|os.ModeSticky, 65534),
		"below a stranger's": filepath.Join(make("up", 0o755, 65534)),
	} {
		if name == "below a stranger's" {
			d = filepath.Join(d, "down")
			if err := os.Mkdir(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := safefile.Locate(filepath.Join(d, "x")); !errors.Is(err, safefile.ErrOpenDirectory) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := safefile.Locate(filepath.Join(dir, "none", "x")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// A link that replaces a created file is neither followed nor changed.
func TestPlaceFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	victim, name := filepath.Join(dir, "victim"), filepath.Join(dir, "name")
	for _, f := range []string{victim, name} {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := locate(t, name)
	before, err := p.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Chmod(before.Dev, before.Ino, 0o666); err != nil {
		t.Fatal(err)
	}
	if st, err := p.Stat(); err != nil || st.Mode&0o777 != 0o666 {
		t.Errorf("%o %v", st.Mode, err)
	}
	if err := errors.Join(os.Rename(name, filepath.Join(dir, "aside")), os.Symlink(victim, name)); err != nil {
		t.Fatal(err)
	}
	link, err := p.Stat()
	if err != nil || link.Mode&unix.S_IFMT != unix.S_IFLNK {
		t.Fatalf("%o %v", link.Mode, err)
	}
	if p.Chmod(before.Dev, before.Ino, 0o666) == nil || p.Chmod(link.Dev, link.Ino, 0o666) == nil {
		t.Error("a link was changed")
	}
	if err := p.Remove(before.Dev, before.Ino); err != nil {
		t.Error(err)
	}
	if _, err := p.Stat(); err != nil {
		t.Errorf("what took its place is gone: %v", err)
	}
	if st, err := os.Stat(victim); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", st, err)
	}
	if err := p.Remove(link.Dev, link.Ino); err != nil {
		t.Error(err)
	}
	if err := p.Remove(link.Dev, link.Ino); err != nil {
		t.Errorf("what is gone: %v", err)
	}
}
