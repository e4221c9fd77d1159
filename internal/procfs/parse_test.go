package procfs

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const gunicornStat = "4242 (gunicorn: maste) S 1 4242 4242 0 -1 4194560 6203 7 0 0 31 12 5 6 20 0 3 0 123456 42000384 8876 18446744073709551615 1 1 0 0 0 0 0 16781312 134235655 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"

func TestParseStat(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		comm string
		want Stat
		bad  bool
	}{
		"gunicorn":         {in: gunicornStat, comm: "gunicorn: maste", want: Stat{State: 'S', PPID: 1, UTime: 31, STime: 12, Threads: 3, Start: 123456, RSS: 8876}},
		"a kernel thread":  {in: "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 9 0 0 0", comm: "kthreadd", want: Stat{State: 'S', Kernel: true, Threads: 1, Start: 9}},
		"pid 2 of a box":   {in: "2 (gunicorn) S 0 2 2 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 9 0 7 0", comm: "gunicorn", want: Stat{State: 'S', Threads: 1, Start: 9, RSS: 7}},
		"name with braces": {in: "7 (a) b (c)) R 5 1 1 0 -1 0 0 0 0 0 1 2 0 0 20 0 1 0 9 100 3 0", comm: "a) b (c)", want: Stat{State: 'R', PPID: 5, UTime: 1, STime: 2, Threads: 1, Start: 9, RSS: 3}},
		"empty":            {in: "", bad: true},
		"cut":              {in: gunicornStat[:60], bad: true},
		"letters":          {in: strings.Replace(gunicornStat, " 123456 ", " 12x456 ", 1), bad: true},
		"no bracket":       {in: "1 sh S 1", bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseStat([]byte(c.in))
			if c.bad != (err != nil) || err != nil && !errors.Is(err, ErrShape) {
				t.Fatalf("error %v", err)
			}
			comm, _, _ := cutComm([]byte(c.in))
			if got != c.want || err == nil && string(comm) != c.comm {
				t.Errorf("got %+v of %q, want %+v of %q", got, comm, c.want, c.comm)
			}
		})
	}
}

func TestParseSyscall(t *testing.T) {
	for in, want := range map[string]Syscall{
		"running\n":          {Running: true, NR: -1},
		"-1 0x7ffd 0x7f01\n": {NR: -1},
		"232 0x7 0x1 0x2 0x3e8 0x0 0xffffffff 0x7ffd 0x7fb9\n": {NR: 232, Args: [6]uint64{7, 1, 2, 1000, 0, 0xffffffff}},
	} {
		got, err := ParseSyscall([]byte(in))
		if err != nil || got != want {
			t.Errorf("parseSyscall(%q) = %+v, %v; want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "x", "1 2", "-7 0x1 0x2", "232 0x7 0x1 0x2", "232 0x7 0x1 0x2 zz 0x0 0x0 0x1 0x2"} {
		if _, err := ParseSyscall([]byte(in)); !errors.Is(err, ErrShape) {
			t.Errorf("parseSyscall(%q): error %v, want one of the form", in, err)
		}
	}
}

func TestParseSmaps(t *testing.T) {
	got, err := ParseSmaps([]byte("55d0-7ffe ---p 00000000 00:00 0 [rollup]\nRss: 100 kB\nPss:  60 kB\nPss_Anon: 7 kB\nPrivate_Clean: 5 kB\nPrivate_Dirty: 40 kB\nPrivate_Hugetlb: 2 kB\nSwap: 9 kB\nSwapPss: 3 kB\n"))
	want := Memory{RSS: 100 << 10, PSS: 60 << 10, USS: 47 << 10, Swap: 3 << 10}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if _, err := ParseSmaps([]byte("Rss: 100 kB\n")); !errors.Is(err, ErrShape) {
		t.Errorf("without Pss: error %v", err)
	}
}

func TestParseRest(t *testing.T) {
	if got := ParseEpollFDs([]byte("pos:\t0\nflags:\t02\ntfd:        5 events:       19 data:  5  pos:0 ino:6b\ntfd:       11 events: 1 data: b\n")); !slices.Equal(got, []int{5, 11}) {
		t.Errorf("targets %v", got)
	}
	if got, err := ParseMaxFiles([]byte("Max processes  1 1 processes\nMax open files            1024                 524288               files     \n")); got != 1024 || err != nil {
		t.Errorf("max files %d, %v", got, err)
	}
	if got, err := ParseMaxFiles([]byte("Max open files            unlimited  unlimited files\n")); got != 0 || err != nil {
		t.Errorf("unlimited files %d, %v", got, err)
	}
	if _, err := ParseMaxFiles([]byte("nothing\n")); !errors.Is(err, ErrShape) {
		t.Errorf("no limit: error %v", err)
	}
	if ino, ok := ParseSocketLink("socket:[25567]"); ino != 25567 || !ok {
		t.Errorf("socket %d %v", ino, ok)
	}
	for _, s := range []string{"pipe:[3]", "socket:[x]", "socket:[3", "/tmp/socket:[3]"} {
		if _, ok := ParseSocketLink(s); ok {
			t.Errorf("%q taken for a socket", s)
		}
	}
	if got, err := ParseSchedTimes([]byte("1234 56 78\n")); got != (SchedTimes{Run: 1234, Delay: 56, Slices: 78}) || err != nil {
		t.Errorf("schedstat %+v %v", got, err)
	}
	if got := ParseCmdline([]byte("gunicorn: worker [shop]      \x00\x00\x00")); !slices.Equal(got, []string{"gunicorn: worker [shop]"}) {
		t.Errorf("title %q", got)
	}
	if got := ParseCmdline([]byte("a\x00b c\x00")); !slices.Equal(got, []string{"a", "b c"}) {
		t.Errorf("command line %q", got)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte(gunicornStat))
	f.Add([]byte("7 (a) b (c)) R 5 1 1 0 -1 0 0 0 0 0 1 2 0 0 20 0 1 0 9 100 3 0"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseStat(b)
		comm, _, _ := cutComm(b)
		if err == nil && (!bytes.Contains(b, []byte("("+string(comm)+")")) || s.PPID < 0 || s.Threads < 0) {
			t.Errorf("%q gave %+v", b, s)
		}
	})
}

func FuzzParseSyscall(f *testing.F) {
	f.Add([]byte("232 0x7 0x1 0x2 0x3e8 0x0 0xffffffff 0x7ffd 0x7fb9\n"))
	f.Add([]byte("running\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseSyscall(b)
		if err == nil && (c.NR < -1 || c.Running && c.NR != -1) || err != nil && c != (Syscall{}) {
			t.Errorf("%q gave %+v, %v", b, c, err)
		}
	})
}

func FuzzParseSmaps(f *testing.F) {
	f.Add([]byte("Rss: 100 kB\nPss:  60 kB\nPrivate_Dirty: 40 kB\nSwapPss: 3 kB\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseSmaps(b)
		if err != nil && m != (Memory{}) {
			t.Errorf("%q gave %+v with %v", b, m, err)
		}
		if err == nil && !bytes.Contains(b, []byte("Pss")) {
			t.Errorf("%q has no Pss and gave %+v", b, m)
		}
	})
}

func FuzzParseDirents(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x18\x00\x0442\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, e := range parseDirents(b, nil) {
			if e.N < 0 || e.N > 999999999 || !bytes.Contains(b, []byte(strconv.Itoa(e.N))) && e.N != 0 && !bytes.Contains(b, []byte("0")) {
				t.Errorf("%q gave %+v", b, e)
			}
		}
	})
}

func BenchmarkParseStat(b *testing.B) {
	in := []byte(gunicornStat)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseStat(in); err != nil {
			b.Fatal(err)
		}
	}
}

func TestParseStatNames(t *testing.T) {
	t.Parallel()
	rest := " 7 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 12345 0 0"
	for _, name := range []string{"(sh)", "(a) S 1 2)", "(\n) Z 9)", "()"} {
		p, err := ParseStat([]byte("42 " + name + " S" + rest))
		if err != nil || p.PPID != 7 || p.Start != 12345 || p.State != 'S' {
			t.Errorf("%q: %+v, %v", name, p, err)
		}
	}
	for _, bad := range []string{"42 (sh) S 9999999999999999999" + rest[2:], "", "42 (sh)", "42 (sh) S 1", "42 sh S" + rest, "42 (sh) S x" + rest[2:], "42 (sh) SS" + rest} {
		if p, err := ParseStat([]byte(bad)); err == nil {
			t.Errorf("%q: %+v", bad, p)
		}
	}
}

func TestSocketLinks(t *testing.T) {
	t.Parallel()
	for link, want := range map[string]uint64{"socket:[12]": 12, "socket:[]": 0, "socket:[12": 0, "socket:[-1]": 0, "pipe:[1]": 0, "/tmp/socket:[1]": 0} {
		if got, _ := ParseSocketLink(link); got != want {
			t.Errorf("%q: %d", link, got)
		}
	}
}

// The pid by which a process knows itself is the last of those that its status lists.
func TestParseInnerPID(t *testing.T) {
	for status, want := range map[string]int{
		"Name:\tx\nNStgid:\t9\t8\nNSpid:\t4242\nNSpgid:\t7\n": 4242, "Name:\tNSpid: 1\\nNSpid: 2\nNSpid:\t4242\t31\t7\n": 7,
		"Name:\tx\nNSpid:\n": 0, "Name:\tx\n": 0, "NSpid:\t1\tx\n": 0, "": 0,
	} {
		if got, err := parseInnerPID([]byte(status)); got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d, %v", status, got, err)
		}
	}
	if got, err := New("/proc").InnerPID(os.Getpid()); err != nil || got != os.Getpid() {
		t.Errorf("our own is %d, %v", got, err)
	}
}
