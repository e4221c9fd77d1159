package match

import (
	"os"
	"os/user"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

func TestLookupUID(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]uint32{"0": 0, "1001": 1001, "4294967295": 1<<32 - 1, "root": 0} {
		if got, ok := LookupUID(in); got != want || !ok {
			t.Errorf("%s: %d, %v", in, got, ok)
		}
	}
	for _, in := range []string{"", "-1", "4294967296", "no-such-user-here"} {
		if got, ok := LookupUID(in); ok || got != 0 {
			t.Errorf("%q: %d, %v", in, got, ok)
		}
	}
	if nobody, err := user.Lookup("daemon"); err == nil {
		got, ok := LookupUID("daemon")
		want, _ := LookupUID(nobody.Uid)
		if !ok || got != want || got == 0 {
			t.Errorf("daemon: %d, %v, want %d", got, ok, want)
		}
	}
}

// Each part of a match must hold; what is read for a part is read for it only.
func TestMatchesProcess(t *testing.T) {
	t.Parallel()
	groups := []string{"/system.slice/shop.service", "/docker/abc"}
	for name, c := range map[string]struct {
		match  config.Match
		uid    uint32 // of the files in /proc
		real   uint32
		kernel bool
		want   bool
	}{
		"everything":               {config.Match{Listen: ":80"}, 7, 7, false, true},
		"a kernel thread":          {config.Match{Listen: ":80"}, 0, 0, true, false},
		"cmdline":                  {config.Match{Cmdline: "python .*shop"}, 7, 7, false, true},
		"another cmdline":          {config.Match{Cmdline: "till"}, 7, 7, false, false},
		"user":                     {config.Match{User: "7"}, 7, 7, false, true},
		"another user":             {config.Match{User: "7"}, 8, 8, false, false},
		"not dumpable, its own":    {config.Match{User: "7"}, 0, 7, false, true},
		"not dumpable, another's":  {config.Match{User: "7"}, 0, 8, false, false},
		"another real user":        {config.Match{User: "7"}, 7, 8, false, false},
		"a user that is not there": {config.Match{User: "no-such-user-here"}, 0, 0, false, false},
		"unit":                     {config.Match{SystemdUnit: "shop"}, 7, 7, false, true},
		"unit with its ending":     {config.Match{SystemdUnit: "shop.service"}, 7, 7, false, true},
		"another ending":           {config.Match{SystemdUnit: "shop.scope"}, 7, 7, false, false},
		"a part of a unit":         {config.Match{SystemdUnit: "hop"}, 7, 7, false, false},
		"control group":            {config.Match{Cgroup: "/docker/abc"}, 7, 7, false, true},
		"control group above":      {config.Match{Cgroup: "/docker/"}, 7, 7, false, true},
		"a part of its name":       {config.Match{Cgroup: "/dock"}, 7, 7, false, false},
		"unit and control group":   {config.Match{SystemdUnit: "shop", Cgroup: "/docker"}, 7, 7, false, true},
		"unit, not control group":  {config.Match{SystemdUnit: "shop", Cgroup: "/lxc"}, 7, 7, false, false},
		"control group, not unit":  {config.Match{SystemdUnit: "till", Cgroup: "/docker"}, 7, 7, false, false},
		"a broken expression":      {config.Match{Cmdline: "("}, 7, 7, false, false},
	} {
		m := NewMatcher(config.App{Name: "shop", Match: c.match})
		p := &table.Process{UID: c.uid, Argv: []string{"python", "shop.py"}}
		p.Stat.Kernel = c.kernel
		read := 0
		got := m.MatchesProcess(p, func() []string { read++; return groups }, func() uint32 { return c.real })
		if got != c.want || read > 0 && c.match.SystemdUnit == "" && c.match.Cgroup == "" {
			t.Errorf("%s: %v, control groups read %d times", name, got, read)
		}
		only := c.match.Cmdline == "" && c.match.User == "" && c.match.SystemdUnit == "" && c.match.Cgroup == ""
		if m.OnlyListener() != only && name != "a user that is not there" && name != "a broken expression" {
			t.Errorf("%s: only a listener %v", name, m.OnlyListener())
		}
	}
}

func TestParsePID(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int{"1": 1, " 42\n": 42, "2147483647": 1<<31 - 1} {
		if got, err := parsePID([]byte(in)); err != nil || got != want {
			t.Errorf("%q: %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "0", "+1", "-1", "2147483648", "1 2", "x"} {
		if got, err := parsePID([]byte(in)); err == nil || got != 0 {
			t.Errorf("%q: %d, %v", in, got, err)
		}
	}
}

// A file is the same if no field of stat(2) differs.
func TestSameFile(t *testing.T) {
	t.Parallel()
	base := unix.Stat_t{Dev: 1, Ino: 2, Size: 3, Mtim: unix.Timespec{Sec: 4}, Ctim: unix.Timespec{Sec: 5}}
	same := base
	if !sameFile(&base, &same) || sameFile(&unix.Stat_t{}, &unix.Stat_t{}) {
		t.Error("the same file, or none")
	}
	first := base
	if first.Ino = 1; !sameFile(&first, &first) {
		t.Error("inode 1")
	}
	for name, change := range map[string]func(*unix.Stat_t){
		"device": func(s *unix.Stat_t) { s.Dev++ }, "inode": func(s *unix.Stat_t) { s.Ino++ }, "size": func(s *unix.Stat_t) { s.Size++ }, "change": func(s *unix.Stat_t) { s.Mtim.Nsec++ }, "status": func(s *unix.Stat_t) { s.Ctim.Nsec++ },
	} {
		other := base
		change(&other)
		if sameFile(&base, &other) {
			t.Errorf("another %s", name)
		}
	}
}

// An unchanged pid file is read again after ten seconds, or when the clock was set back.
func TestPIDFileAge(t *testing.T) {
	t.Parallel()
	tab := table.New(procfs.New(t.TempDir()))
	f, now := PIDFile{path: t.TempDir() + "/pid"}, time.Unix(1e9, 0)
	if p, err := f.Current(tab, now); p != nil || err != nil {
		t.Errorf("no file: %v, %v", p, err)
	}
	if err := os.WriteFile(f.path, []byte("42\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Current(tab, now); err != nil {
		t.Fatal(err)
	}
	for after, again := range map[time.Duration]bool{0: false, pidFileAge: false, pidFileAge + 1: true, -1: true} {
		f.pid, f.read = 7, now
		if _, err := f.Current(tab, now.Add(after)); err != nil || (f.pid == 42) != again {
			t.Errorf("after %s: pid %d, %v", after, f.pid, err)
		}
	}
}
