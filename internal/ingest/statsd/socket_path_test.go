package statsd_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/ingest/statsd"
	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

// stranger is the user id of an account without rights.
const stranger = 65534

// bindAt listens at a path and returns why it cannot.
func bindAt(t *testing.T, path string) error {
	t.Helper()
	l := statsd.New(statsd.Options{Network: "unixgram", Address: path})
	t.Cleanup(func() { _ = l.Close() })
	return l.Listen(t.Context())
}

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	st, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Mode()
}

// A file of another user at the path is neither followed, changed nor removed.
func TestSocketPathLeavesOthersFiles(t *testing.T) {
	dir := t.TempDir()
	shared := filepath.Join(dir, "shared")
	if err := errors.Join(os.Mkdir(shared, 0o700), os.Chmod(shared, 0o777|os.ModeSticky)); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, shared} {
		secret := filepath.Join(dir, "secret")
		if err := os.WriteFile(secret, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		plant := map[string]func(path string) error{
			"link":          func(path string) error { return os.Symlink(secret, path) },
			"dangling link": func(path string) error { return os.Symlink(filepath.Join(dir, "nothing"), path) },
			"fifo":          func(path string) error { return syscall.Mkfifo(path, 0o600) },
			"directory":     func(path string) error { return os.Mkdir(path, 0o700) },
			"socket": func(path string) error {
				c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
				if err == nil {
					err = errors.Join(c.Close(), os.Lchown(path, stranger, stranger))
				}
				return err
			},
		}
		for name, make := range plant {
			path := filepath.Join(d, strings.ReplaceAll(name, " ", "-"))
			if err := make(path); err != nil {
				t.Fatal(err)
			}
			before := mode(t, path)
			if err := bindAt(t, path); !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("%s in %s: %v", name, d, err)
			}
			if now := mode(t, path); now != before {
				t.Errorf("%s in %s: mode %v, was %v", name, d, now, before)
			}
		}
		if m := mode(t, secret); m.Perm() != 0o600 {
			t.Errorf("the file behind the link has mode %v", m)
		}
		if _, err := os.Lstat(filepath.Join(dir, "nothing")); err == nil {
			t.Error("something was made behind the dangling link")
		}
	}
	path := filepath.Join(shared, "ours")
	if err := bindAt(t, path); err != nil {
		t.Errorf("in a sticky directory: %v", err)
	}
	if m := mode(t, path); m.Perm() != 0o666 {
		t.Errorf("the socket's mode is %v", m)
	}
}

func TestSocketPathRefused(t *testing.T) {
	dir := t.TempDir()
	theirs, open := filepath.Join(dir, "theirs"), filepath.Join(dir, "open")
	if err := errors.Join(os.Mkdir(theirs, 0o755), os.Chown(theirs, stranger, stranger), os.Mkdir(open, 0o700), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{theirs, open} {
		if err := bindAt(t, filepath.Join(d, "s")); !errors.Is(err, safefile.ErrOpenDirectory) {
			t.Errorf("%s: %v", d, err)
		}
	}
	for _, path := range []string{"", "/", "s", "./s", "@s", "\x00s", dir + "/a\x00b", dir + "/" + strings.Repeat("x", 108)} {
		if err := bindAt(t, path); !errors.Is(err, statsd.ErrPath) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// A file that has replaced our socket stays when the listener closes.
func TestSocketPathRemovesItsOwnOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l := statsd.New(statsd.Options{Network: "unixgram", Address: path})
	if err := l.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Rename(path, path+".old"), os.WriteFile(path, nil, 0o600), l.Close()); err != nil {
		t.Fatal(err)
	}
	if m := mode(t, path); m != 0o600 {
		t.Errorf("what took the socket's place has mode %v", m)
	}
}
