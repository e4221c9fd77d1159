package match

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// pidTable is a table of processes for pid files: 42 and 7 are user 0's, 1001 is
// user 1001's, 1 an init, 2 a kernel thread, 900 the exporter itself.
func pidTable(t *testing.T) *table.Table {
	t.Helper()
	tab := table.New(procfs.New(t.TempDir()))
	tab.Self = 900
	for pid, uid := range map[int]uint32{1: 0, 2: 0, 7: 0, 42: 0, 900: 0, 1001: 1001, 1002: 1002} {
		tab.Processes[pid] = &table.Process{PID: pid, UID: uid, Owner: table.Ownership{Known: true, Owner: procfs.Owner{Account: procfs.Account(uid), UID: uid}}}
	}
	tab.Processes[2].Stat.Kernel = true
	tab.Processes[43] = &table.Process{PID: 43, Owner: table.Ownership{Known: true, Owner: procfs.Owner{Changed: true}}} // su
	return tab
}

func TestPIDFile(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("this test changes the owner of files: run it as root")
	}
	type file struct {
		content string
		uid     int
		mode    os.FileMode
		make    func(path string) error
	}
	link := func(to string) func(string) error { return func(p string) error { return os.Symlink(to, p) } }
	for name, c := range map[string]struct {
		file
		want    int
		refused bool
	}{
		"root's":                        {file: file{content: "42\n"}, want: 42},
		"with blanks":                   {file: file{content: " 7 "}, want: 7},
		"the process's user's":          {file: file{content: "1001", uid: 1001}, want: 1001},
		"root's of a user's process":    {file: file{content: "1001"}, want: 1001},
		"a stranger's":                  {file: file{content: "42", uid: 1002}, refused: true},
		"a stranger's of a third one's": {file: file{content: "1001", uid: 1002}, refused: true},
		"of a process that is gone":     {file: file{content: "77"}},
		"a stranger's of nobody":        {file: file{content: "77", uid: 1002}, refused: true},
		"others may write":              {file: file{content: "42", mode: 0o666}, refused: true},
		"missing":                       {file: file{make: func(string) error { return nil }}},
		"the exporter itself":           {file: file{content: "900"}, refused: true},
		"init":                          {file: file{content: "1"}, refused: true},
		"a kernel thread":               {file: file{content: "2"}, refused: true},
		"a setuid program":              {file: file{content: "43"}, refused: true},
		"0":                             {file: file{content: "0"}, refused: true},
		"negative":                      {file: file{content: "-1"}, refused: true},
		"with a sign":                   {file: file{content: "+42"}, refused: true},
		"too large":                     {file: file{content: "99999999999"}, refused: true},
		"hexadecimal":                   {file: file{content: "0x2a"}, refused: true},
		"two numbers":                   {file: file{content: "42 7"}, refused: true},
		"empty":                         {file: file{content: ""}, refused: true},
		"binary":                        {file: file{content: "\x00\xff42"}, refused: true},
		"long":                          {file: file{content: "42" + strings.Repeat(" ", 100)}, refused: true},
		"/dev/zero":                     {file: file{make: link("/dev/zero")}, refused: true},
		"itself":                        {file: file{make: func(p string) error { return os.Symlink(p, p) }}, refused: true},
		"a FIFO":                        {file: file{make: func(p string) error { return unix.Mkfifo(p, 0o644) }}, refused: true},
		"a directory":                   {file: file{make: func(p string) error { return os.Mkdir(p, 0o755) }}, refused: true},
		"1 GB": {file: file{make: func(p string) error {
			f, err := os.Create(p)
			if err == nil {
				err = f.Truncate(1 << 30)
				_ = f.Close()
			}
			return err
		}}, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "pid")
			if c.make == nil {
				mode := c.mode
				if mode == 0 {
					mode = 0o644
				}
				c.make = func(p string) error {
					err := os.WriteFile(p, []byte(c.content), mode)
					if err == nil {
						err = os.Chmod(p, mode)
					}
					if err == nil {
						err = os.Chown(p, c.uid, c.uid)
					}
					return err
				}
			}
			if err := c.make(path); err != nil {
				t.Fatal(err)
			}
			f := &PIDFile{path: path}
			p, err := f.Current(pidTable(t), time.Unix(1000, 0))
			if (err != nil) != c.refused {
				t.Errorf("error %v", err)
			}
			if c.want == 0 && p != nil || c.want != 0 && (p == nil || p.PID != c.want) {
				t.Errorf("process %+v, want %d", p, c.want)
			}
		})
	}
}

// A file in a directory where others can rename files is not trusted, even if root owns
// it: another file of root may have been moved there.
func TestPIDFileInAnOpenDirectory(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("this test changes the owner of files: run it as root")
	}
	for name, c := range map[string]struct {
		mode    os.FileMode
		uid     int
		pid     string
		refused bool
	}{
		"sticky":               {os.ModeSticky | 0o777, 0, "42", false},
		"everybody's":          {0o777, 0, "42", true},
		"a stranger's":         {0o755, 1002, "42", true},
		"the process's user's": {0o755, 1001, "1001", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "pid")
			if err := os.WriteFile(path, []byte(c.pid), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(dir, c.uid, c.uid); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(dir, c.mode); err != nil {
				t.Fatal(err)
			}
			f := &PIDFile{path: path}
			if p, err := f.Current(pidTable(t), time.Unix(1000, 0)); (err != nil) != c.refused || (p == nil) != c.refused {
				t.Errorf("process %v, error %v", p, err)
			}
		})
	}
}

// An unchanged file is not read again; one that was replaced is read at once.
func TestPIDFileIsReadWhenItChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	now := time.Unix(1000, 0)
	tab := pidTable(t)
	f := &PIDFile{path: path}
	for _, want := range []int{42, 7, 42} {
		if err := os.WriteFile(path+".new", []byte(strconv.Itoa(want)), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			p, err := f.Current(tab, now)
			if err != nil || p == nil || p.PID != want {
				t.Fatalf("process %v, error %v, want %d", p, err, want)
			}
		}
		if !f.read.Equal(now) {
			t.Errorf("read at %s", f.read)
		}
		now = now.Add(time.Second)
	}
	now = now.Add(pidFileAge + time.Second)
	if _, err := f.Current(tab, now); err != nil || !f.read.Equal(now) {
		t.Errorf("an old reading is believed: %v, %v", f.read, err)
	}
}

func FuzzParsePID(f *testing.F) {
	for _, s := range []string{"1", "42\n", "-1", "0", "99999999999", "\x00\xff", " 7 "} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := parsePID(b)
		if err == nil && (n <= 0 || n > 1<<31-1 || !bytes.Equal(bytes.TrimLeft(bytes.TrimSpace(b), "0"), []byte(strconv.Itoa(n)))) {
			t.Errorf("%q gave %d", b, n)
		}
	})
}
