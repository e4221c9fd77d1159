package image

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

const python = "/usr/bin/python3.11"

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParse(t *testing.T) {
	f, err := parse(bytes.NewReader(read(t, python)))
	if err != nil || f.Runtime == 0 || f.Version == 0 || f.CodeType == 0 || f.TraceRefs || f.FreeThreaded || f.PyPy {
		t.Errorf("%+v, %v", f, err)
	}
	f, err = parse(bytes.NewReader(read(t, "/bin/true")))
	if err != nil || f.Runtime != 0 {
		t.Errorf("true: %+v, %v", f, err)
	}
}

// change returns the file with some bytes replaced.
func change(b []byte, at int, with ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[at:], with)
	return b
}

func TestParseRefuses(t *testing.T) {
	file := read(t, "/bin/true")
	far := make([]byte, 8)
	binary.LittleEndian.PutUint64(far, 1<<50)
	for name, c := range map[string]struct {
		file   []byte
		reason Reason // "": it is no ELF file
	}{
		"empty":               {nil, ""},
		"text":                {[]byte(strings.Repeat("#!/bin/sh\n", 20)), ""},
		"cut":                 {file[:100], ""},
		"32 bit":              {change(file, 4, 1), Bits},
		"big endian":          {change(file, 5, 2), Architecture},
		"arm64":               {change(file, 18, 183), Architecture},
		"no segments":         {change(file, 56, 0, 0), ""},
		"too many segments":   {change(file, 56, 0xff, 0xff), ""},
		"too many sections":   {change(file, 60, 0xff, 0xff), ""},
		"sections elsewhere":  {change(file, 60, 0, 0), ""},
		"sections far behind": {change(file, 40, far...), ""},
	} {
		_, err := parse(bytes.NewReader(c.file))
		u, ok := errors.AsType[*Unsupported](err)
		if err == nil || ok != (c.reason != "") || ok && u.Reason != c.reason {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// counted counts what is read of a file.
type counted struct {
	r     io.ReaderAt
	bytes int
}

func (c *counted) ReadAt(b []byte, at int64) (int, error) {
	c.bytes += len(b)
	return c.r.ReadAt(b, at)
}

func FuzzParse(f *testing.F) {
	b, err := os.ReadFile("/bin/true")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, uint16(0), byte(0))
	f.Add([]byte("\x7fELF\x02\x01\x01"), uint16(60), byte(255))
	f.Fuzz(func(t *testing.T, file []byte, at uint16, with byte) {
		if int(at) < len(file) {
			file = change(file, int(at), with)
		}
		c := &counted{r: bytes.NewReader(file)}
		_, err := parse(c)
		if err == nil && len(file) < 64 {
			t.Error("a file without a header")
		}
		if c.bytes > maxHeaders+3*maxSections*maxTable {
			t.Errorf("%d bytes were read", c.bytes)
		}
	})
}

func TestReasonsAreSentences(t *testing.T) {
	seen := make(map[string]bool)
	for _, r := range []Reason{NotPython, PyPy, FreeThreaded, Musl, Bits, Architecture, OldOrNew, Stripped, FUSE, BadFile, Layout, "other"} {
		text := (&Unsupported{r}).Error()
		if seen[text] || !strings.HasPrefix(text, "the ") && r != "other" {
			t.Errorf("%s: %q", r, text)
		}
		seen[text] = true
	}
}

func TestParseMapping(t *testing.T) {
	for line, want := range map[string]bool{
		"55e0c8a00000-55e0c8a01000 r-xp 00001000 fe:01 1234                       /usr/bin/py thon": true,
		"7ffd0000-7ffe0000 rw-p 00000000 00:00 0                          [stack]":                  false,
		"7ffd0000-7ffe0000 rw-p 00000000 00:00 0 ":                                                  false,
		"7ffd0000 rw-p 00000000 00:00 0 /x":                                                         false,
		"zz-7ffe0000 rw-p 00000000 00:00 0 /x":                                                      false,
		"":                                                                                          false,
	} {
		m, ok := parseMapping([]byte(line))
		if ok != want || ok && (m.start != 0x55e0c8a00000 || m.end != 0x55e0c8a01000 || m.inode != 1234 || string(m.path) != "/usr/bin/py thon") {
			t.Errorf("%q: %+v, %v", line, m, ok)
		}
	}
}

func TestMinorOf(t *testing.T) {
	for path, want := range map[string]int{
		"/usr/bin/python3.11": 11, "/usr/lib/libpython3.9.so.1.0": 9, "/usr/bin/python3.8 (deleted)": 8, "/opt/python3.12/bin/python": 12,
		"/usr/bin/python3": 0, "/usr/bin/python3.x": 0, "/usr/sbin/nginx": 0, "/usr/bin/python3.99999": 999,
	} {
		if got := minorOf(path); got != want {
			t.Errorf("%s: %d", path, got)
		}
	}
}

func TestMappingsTell(t *testing.T) {
	var m mapped
	for _, path := range []string{"/lib/ld-musl-x86_64.so.1", "/x/libpypy3-c.so", "/x/libpython3.9.so.1.0", "/x/libpython3.9.so.1.0", "/x/lib/python3.8/lib-dynload/a.so"} {
		m.take(mapping{path: []byte(path)})
	}
	if !m.musl || !m.pypy || len(m.candidates) != 1 || m.minor != 8 {
		t.Errorf("%+v", m)
	}
	for _, c := range []struct {
		err  error
		exe  File
		path string
		m    mapped
		want Reason
	}{
		{nil, File{}, "/x", mapped{pypy: true}, PyPy}, {nil, File{PyPy: true}, "/x", mapped{}, PyPy},
		{nil, File{}, "/usr/bin/python3.9", mapped{}, Stripped}, {nil, File{}, "/x", mapped{candidates: make([]candidate, 1)}, Stripped},
		{nil, File{}, "/usr/sbin/nginx", mapped{}, NotPython}, {&Unsupported{Bits}, File{}, "/x", mapped{}, Bits},
	} {
		if u, ok := errors.AsType[*Unsupported](why(c.exe, c.path, c.m, c.err)); !ok || u.Reason != c.want {
			t.Errorf("%s: %v", c.path, u)
		}
	}
}

// run starts a program that does nothing for long, and waits until it is mapped.
func run(t *testing.T, ready string, name string, args ...string) int {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), name, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		b, err := os.ReadFile(procfs.New("/proc").Path(cmd.Process.Pid, "maps"))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(ready)) {
			return cmd.Process.Pid
		}
	}
	t.Fatalf("%s has not started", name)
	return 0
}

// An interpreter is found under any file name, and after its file was deleted, as an
// upgrade does.
func TestFind(t *testing.T) {
	t.Parallel()
	r, c := procfs.New("/proc"), NewCache(nil)
	first, err := Find(r, run(t, python, python, "-c", "import time; time.sleep(1000)"), c)
	if err != nil || first.Minor != 11 || first.Runtime == 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	copied := filepath.Join(t.TempDir(), "snake")
	if err := os.WriteFile(copied, read(t, python), 0o700); err != nil {
		t.Fatal(err)
	}
	pid := run(t, copied, copied, "-c", "import time; time.sleep(1000)")
	if err := os.Remove(copied); err != nil {
		t.Fatal(err)
	}
	deleted, err := Find(r, pid, c)
	if err != nil || deleted.File != first.File {
		t.Errorf("deleted: %+v, %v", deleted, err)
	}
	if len(c.files) != 2 {
		t.Errorf("%d files are known", len(c.files))
	}
	pid = run(t, "sleep", "/bin/sleep", "1000")
	for range 2 {
		_, err = Find(r, pid, c)
		if u, ok := errors.AsType[*Unsupported](err); !ok || u.Reason != NotPython {
			t.Errorf("sleep: %v", err)
		}
	}
	if _, err := Find(r, 1<<22, c); !procfs.Gone(err) {
		t.Errorf("no such process: %v", err)
	}
}

// What the path of a mapped file leads to is read below the root directory of its
// process, and only if it is a regular file.
func TestReadMapped(t *testing.T) {
	t.Parallel()
	r, c := procfs.New("/proc"), NewCache(nil)
	pid := run(t, "sleep", "/bin/sleep", "1000")
	for path, want := range map[string]Reason{"/dev/null": BadFile, "/bin": BadFile, "/etc/passwd": BadFile, "/no/such/file": BadFile} {
		_, err := c.readBelow(r, pid, path)
		if u, ok := errors.AsType[*Unsupported](err); !ok || u.Reason != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	if f, err := c.readBelow(r, pid, python); err != nil || f.Runtime == 0 {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := NewCache(nil)
	for i := range uint64(maxFiles + 1) {
		c.put(identity{ino: i}, parsed{})
	}
	if len(c.files) != 1 || c.Dropped() != maxFiles {
		t.Errorf("%d files, %d dropped", len(c.files), c.Dropped())
	}
}

// TestGuard: what a file system may hold up is called in the guard alone, and its error is
// that of the search.
func TestGuard(t *testing.T) {
	r, late := procfs.New("/proc"), errors.New("late")
	open := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	before := open()
	if _, err := Find(r, os.Getpid(), NewCache(func(func()) error { return late })); !errors.Is(err, late) {
		t.Errorf("%v", err)
	}
	if n := open(); n != before {
		t.Errorf("%d descriptors, %d before", n, before)
	}
}
