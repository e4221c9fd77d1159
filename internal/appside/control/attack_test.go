package control_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/appside/control"
)

// Whatever another user has put where the directory is expected, or in a directory in which
// all may write: nothing is written through a link of his, and nothing waits for him.
func TestWritesThroughNoLink(t *testing.T) {
	for name, c := range map[string]struct {
		plant func(dir, victim string) error
		sound bool // the directory is one that nobody else may write to
	}{
		"the directory is a link": {func(dir, victim string) error {
			return errors.Join(os.Chmod(filepath.Dir(dir), 0o777), his(victim, dir))
		}, false},
		"the directory is a FIFO":       {func(dir, _ string) error { return unix.Mkfifo(dir, 0o666) }, false},
		"the directory is a file":       {func(dir, _ string) error { return os.WriteFile(dir, nil, 0o600) }, false},
		"all may write, a link":         {func(dir, victim string) error { return planted(dir, victim, 0o777, os.Symlink) }, false},
		"all may write, a hard link":    {func(dir, victim string) error { return planted(dir, victim, 0o777, os.Link) }, false},
		"left from before, a link":      {func(dir, victim string) error { return planted(dir, victim, 0o755, os.Symlink) }, true},
		"left from before, a hard link": {func(dir, victim string) error { return planted(dir, victim, 0o755, os.Link) }, true},
		"left from before, a FIFO": {func(dir, victim string) error {
			return planted(dir, victim, 0o755, func(_, to string) error { return unix.Mkfifo(to, 0o666) })
		}, true},
		"in a place where others may write": {func(dir, _ string) error { return os.Chmod(filepath.Dir(dir), 0o777) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			home, victim := t.TempDir(), t.TempDir()
			own, dir := filepath.Join(victim, "own"), filepath.Join(home, "control")
			if err := errors.Join(os.WriteFile(own, []byte("own"), 0o600), c.plant(dir, victim)); err != nil {
				t.Fatal(err)
			}
			w := control.New(dir, nil)
			began := time.Now()
			err := w.SetThrottle("shop", throttle(10, time.Minute))
			if (err == nil) != c.sound || (w.Check("shop") == nil) != c.sound || time.Since(began) > 10*time.Second {
				t.Errorf("set: %v, check: %v, after %s", err, w.Check("shop"), time.Since(began))
			}
			if got := w.Asked("shop").Throttle != nil; got != c.sound {
				t.Errorf("asked: %t", got)
			}
			if c.sound && read(t, dir, "shop") == nil {
				t.Error("no file")
			}
			text, err := os.ReadFile(own)
			names, err2 := os.ReadDir(victim)
			if err != nil || err2 != nil || string(text) != "own" || len(names) != 1 {
				t.Errorf("the victim's file %q, %d files beside it, %v, %v", text, len(names)-1, err, err2)
			}
		})
	}
}

// his makes a link of another user.
func his(to, path string) error {
	return errors.Join(os.Symlink(to, path), os.Lchown(path, 65534, 65534))
}

// planted makes a directory with files of the names that a Writer uses, which lead to the file
// of a victim.
func planted(dir, victim string, mode os.FileMode, link func(from, to string) error) error {
	if err := errors.Join(os.Mkdir(dir, 0o755), os.Chmod(dir, mode)); err != nil {
		return err
	}
	own := filepath.Join(victim, "own")
	return errors.Join(link(own, filepath.Join(dir, "shop.json")), link(own, filepath.Join(dir, ".new.shop.json")))
}

// A directory that is exchanged for a link while it is in use is noticed: what is written next
// does not follow it.
func TestExchangedDirectory(t *testing.T) {
	dir, victim := place(t), t.TempDir()
	w := control.New(dir, nil)
	if err := w.SetThrottle("shop", throttle(10, time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o777), os.Rename(dir, dir+".old"), his(victim, dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.SetThrottle("shop", throttle(20, time.Minute)); err == nil {
		t.Error("it is written")
	}
	if names, err := os.ReadDir(victim); err != nil || len(names) != 0 {
		t.Errorf("files of the victim: %v, %v", names, err)
	}
}
