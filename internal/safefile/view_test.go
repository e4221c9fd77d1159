package safefile_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

// viewOf returns a view of two directories, whose check refuses the directory "forbidden".
func viewOf(t *testing.T, root, cwd string) safefile.View {
	t.Helper()
	var no unix.Stat_t
	_ = unix.Stat(filepath.Join(root, "forbidden"), &no)
	v := safefile.View{Check: func(fd int) error {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil || st.Ino == no.Ino && st.Dev == no.Dev {
			return errors.Join(errForbidden, err)
		}
		return nil
	}}
	for name, fd := range map[string]*int{root: &v.Root, cwd: &v.Dir} {
		var err error
		if *fd, err = unix.Open(name, unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(*fd) })
	}
	return v
}

var errForbidden = errors.New("forbidden")

// Paths and links of a view stay below its root directory, and what is refused elsewhere is
// refused there too.
func TestView(t *testing.T) {
	t.Parallel()
	out := base(t)
	root := dir(t, filepath.Join(out, "root"), 0o755, 0)
	cwd := dir(t, filepath.Join(root, "srv"), 0o755, stranger)
	open := dir(t, filepath.Join(root, "tmp"), 0o777, 0)
	forbidden := dir(t, filepath.Join(root, "forbidden"), 0o755, 0)
	put(t, filepath.Join(out, "conf"), "outside", 0o600, 0)
	put(t, filepath.Join(root, "conf"), "root", 0o600, 0)
	put(t, filepath.Join(cwd, "conf"), "cwd", 0o600, stranger)
	put(t, filepath.Join(cwd, "group"), "cwd", 0o660, stranger)
	put(t, filepath.Join(cwd, "other"), "cwd", 0o600, 4711)
	put(t, filepath.Join(cwd, "large"), strings.Repeat("x", 101), 0o600, 0)
	put(t, filepath.Join(forbidden, "conf"), "forbidden", 0o600, 0)
	link(t, "/conf", filepath.Join(cwd, "absolute"), 0)
	link(t, "../conf", filepath.Join(cwd, "up"), stranger)
	link(t, "../../../../../conf", filepath.Join(cwd, "far"), 0)
	link(t, "loop", filepath.Join(cwd, "loop"), 0)
	link(t, "../forbidden/conf", filepath.Join(cwd, "led"), 0)
	link(t, "/conf", filepath.Join(open, "link"), 0)
	if err := errors.Join(unix.Mkfifo(filepath.Join(cwd, "fifo"), 0o600), unix.Mknod(filepath.Join(cwd, "null"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3)))); err != nil {
		t.Fatal(err)
	}
	v, p := viewOf(t, root, cwd), safefile.Policy{MaxBytes: 100, Owners: []uint32{stranger}}
	for path, want := range map[string]string{
		"conf": "cwd", "./conf": "cwd", "../srv//conf": "cwd", "/srv/conf": "cwd",
		"../conf": "root", "/conf": "root", "../../../conf": "root", "/../conf": "root",
		"absolute": "root", "up": "root", "far": "root",
	} {
		if b, err := v.Read(path, p); string(b) != want || err != nil {
			t.Errorf("%s: %q, want %q (%v)", path, b, want, err)
		}
		if !v.Has(path, p) {
			t.Errorf("%s is not there", path)
		}
	}
	for path, want := range map[string]error{
		"": unix.ENOENT, "none": unix.ENOENT, "conf/x": unix.ENOTDIR, "fifo/x": unix.ENOTDIR, "/srv": safefile.ErrNotRegular, ".": safefile.ErrNotRegular,
		"fifo": safefile.ErrNotRegular, "null": safefile.ErrNotRegular, "group": safefile.ErrMode, "other": safefile.ErrOwner, "large": safefile.ErrTooLarge,
		"/forbidden/conf": errForbidden, "led": errForbidden, "/tmp/link": safefile.ErrLink,
		"loop": unix.ENAMETOOLONG, strings.Repeat("../", 300) + "conf": unix.ENAMETOOLONG,
	} {
		b, err := v.Read(path, p)
		if _, isPath := errors.AsType[*fs.PathError](err); !errors.Is(err, want) || b != nil || !isPath {
			t.Errorf("%s: %q, %v, want %v", path, b, err, want)
		}
	}
	for path, want := range map[string]bool{"fifo": true, "fifo/x": false, "conf/x": false, "/srv": true, "none": false, "led": false, "group": true} {
		if v.Has(path, p) != want {
			t.Errorf("%s is there: %v", path, !want)
		}
	}
}

// A root directory of which nothing may be asked is not compared with, so that no path
// leads up.
func TestViewOfForbiddenRoot(t *testing.T) {
	t.Parallel()
	out := base(t)
	forbidden := dir(t, filepath.Join(out, "forbidden"), 0o755, 0)
	put(t, filepath.Join(out, "conf"), "here", 0o600, 0)
	v := viewOf(t, out, out)
	var err error
	if v.Root, err = unix.Open(forbidden, unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(v.Root) })
	if b, err := v.Read("conf", safefile.Policy{}); string(b) != "here" {
		t.Errorf("in the working directory: %q, %v", b, err)
	}
	if b, err := v.Read("/conf", safefile.Policy{}); !errors.Is(err, errForbidden) {
		t.Errorf("below the root: %q, %v", b, err)
	}
	if b, err := v.Read("../"+filepath.Base(out)+"/conf", safefile.Policy{}); !errors.Is(err, unix.ENOENT) {
		t.Errorf("above: %q, %v", b, err)
	}
}

// A descriptor that has nothing to read yet is an error, though it can be polled; one at its
// end is not.
func TestDescriptorDoesNotWait(t *testing.T) {
	t.Parallel()
	pipe := make([]int, 2)
	if err := unix.Pipe2(pipe, unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(pipe[0]) })
	if b, err := safefile.ReadAll(safefile.Descriptor(pipe[0]), 100); !errors.Is(err, unix.EAGAIN) || b != nil {
		t.Errorf("nothing yet: %q, %v", b, err)
	}
	if _, err := unix.Write(pipe[1], []byte("text")); err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(pipe[1])
	if b, err := safefile.ReadAll(safefile.Descriptor(pipe[0]), 100); err != nil || string(b) != "text" {
		t.Errorf("at its end: %q, %v", b, err)
	}
}
