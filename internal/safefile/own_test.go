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

// A file that a stranger could have written, or that is no plain one, is not opened.
func TestOpenOwn(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(path string) error
		want    error // nil: it is opened
	}{
		"own":        {func(p string) error { return os.WriteFile(p, []byte("own"), 0o600) }, nil},
		"missing":    {func(string) error { return nil }, fs.ErrNotExist},
		"too large":  {func(p string) error { return os.WriteFile(p, []byte("12345"), 0o600) }, safefile.ErrTooLarge},
		"stranger's": {func(p string) error { return errors.Join(os.WriteFile(p, nil, 0o600), os.Chown(p, 65534, -1)) }, safefile.ErrOwner},
		"writable":   {func(p string) error { return errors.Join(os.WriteFile(p, nil, 0o600), os.Chmod(p, 0o620)) }, safefile.ErrMode},
		"hard link":  {func(p string) error { return errors.Join(os.WriteFile(p, nil, 0o600), os.Link(p, p+".2")) }, safefile.ErrLinks},
		"link":       {func(p string) error { return errors.Join(os.WriteFile(p+".2", nil, 0o600), os.Symlink(p+".2", p)) }, safefile.ErrNotRegular},
		"FIFO":       {func(p string) error { return unix.Mkfifo(p, 0o600) }, safefile.ErrNotRegular},
		"directory":  {func(p string) error { return os.Mkdir(p, 0o700) }, safefile.ErrNotRegular},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := c.prepare(filepath.Join(dir, "x")); err != nil {
				t.Fatal(err)
			}
			root, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = root.Close() }()
			for _, flag := range []int{os.O_RDONLY, os.O_RDWR | os.O_CREATE} {
				want := c.want
				if flag&os.O_CREATE != 0 && errors.Is(want, fs.ErrNotExist) {
					want = nil
				}
				f, err := safefile.OpenOwn(root, "x", flag, 4)
				if err == nil {
					_ = f.Close()
				}
				if (want == nil) != (err == nil) || !errors.Is(err, want) {
					t.Errorf("flag %#x: %v, want %v", flag, err, want)
				}
			}
		})
	}
}

// A file that is gone or another one when it is opened is refused, and no other one is left
// in its place.
func TestOpenOwnReplaced(t *testing.T) {
	for name, c := range map[string]struct {
		replace func(path string) error
		flag    int
		want    error
		left    bool
	}{
		"gone, to be created": {os.Remove, os.O_RDWR | os.O_CREATE, safefile.ErrReplaced, false},
		"gone, to be read":    {os.Remove, os.O_RDONLY, fs.ErrNotExist, false},
		"another one":         {func(p string) error { return os.Rename(p+".2", p) }, os.O_RDWR | os.O_CREATE, safefile.ErrReplaced, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "x")
			if err := errors.Join(os.WriteFile(path, []byte("own"), 0o600), os.WriteFile(path+".2", nil, 0o600)); err != nil {
				t.Fatal(err)
			}
			root, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = root.Close() }()
			before, err := root.Lstat("x")
			if err = errors.Join(err, c.replace(path)); err != nil {
				t.Fatal(err)
			}
			if f, err := safefile.OpenSeen(root, "x", c.flag, 4, before); !errors.Is(err, c.want) {
				t.Errorf("%v, %v", f, err)
			}
			if _, err := os.Lstat(path); (err == nil) != c.left {
				t.Errorf("what is left: %v", err)
			}
		})
	}
}
