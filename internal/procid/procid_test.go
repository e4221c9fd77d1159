package procid

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestAgree(t *testing.T) {
	t.Parallel()
	plain := func(uid, gid uint32, groups ...uint32) Credentials {
		return Credentials{UIDs: [4]uint32{uid, uid, uid, uid}, GIDs: [4]uint32{gid, gid, gid, gid}, Groups: groups}
	}
	with := func(change func(*Credentials)) Credentials { c := plain(33, 33); change(&c); return c }
	for name, c := range map[string]struct {
		worker, master Credentials
		ok             bool
	}{
		"equal":                    {plain(33, 33, 4), plain(33, 33, 4), true},
		"root's master":            {plain(33, 33, 4), plain(0, 0), true},
		"set-user-ID":              {with(func(c *Credentials) { c.UIDs[1], c.UIDs[2], c.UIDs[3] = 0, 0, 0 }), plain(33, 33), false},
		"set-user-ID, root's":      {with(func(c *Credentials) { c.UIDs[1] = 0 }), plain(0, 0), false},
		"saved user":               {with(func(c *Credentials) { c.UIDs[2] = 0 }), plain(33, 33), false},
		"user of the filesystem":   {with(func(c *Credentials) { c.UIDs[3] = 0 }), plain(33, 33), false},
		"set-group-ID":             {with(func(c *Credentials) { c.GIDs[1], c.GIDs[2] = 42, 42 }), plain(33, 33), false},
		"saved group":              {with(func(c *Credentials) { c.GIDs[2] = 42 }), plain(33, 33), false},
		"became root":              {plain(0, 0), plain(33, 33), false},
		"another group":            {plain(33, 42), plain(33, 33), false},
		"more groups":              {plain(33, 33, 4, 42), plain(33, 33, 4), false},
		"fewer groups":             {plain(33, 33), plain(33, 33, 4), false},
		"set-user-ID master":       {plain(33, 33), with(func(c *Credentials) { c.UIDs[0] = 0 }), false},
		"master of effective root": {plain(33, 33), with(func(c *Credentials) { c.UIDs[1], c.UIDs[2], c.UIDs[3] = 0, 0, 0 }), false},
		"master of root, by group": {plain(33, 33), Credentials{GIDs: [4]uint32{33, 0, 0, 0}}, false},
		"another user altogether":  {plain(34, 34), plain(33, 33), false},
		"only one group is there":  {plain(33, 33, 4), plain(33, 33, 5), false},
	} {
		if err := Agree(c.worker, c.master); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrUsers) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseStatus(t *testing.T) {
	t.Parallel()
	const good = "Name:\tUid:\t0\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t27 4 4 \nCapBnd:\t000001ffffffffff\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n"
	c, err := parseStatus([]byte(good))
	if err != nil || c.UIDs != [4]uint32{1, 2, 3, 4} || c.GIDs != [4]uint32{5, 6, 7, 8} || !slices.Equal(c.Groups, []uint32{4, 27}) ||
		!c.NoNewPrivs || c.Seccomp != 2 || c.Filters != 3 || c.Bounding != 1<<41-1 || c.Uniform() {
		t.Errorf("%+v, %v", c, err)
	}
	for _, bad := range []string{"", "Uid:\t1 1 1 1\n", "Uid:\t1 1 1\nGid:\t1 1 1 1\n", good + "Uid:\t0 0 0 0\n", strings.Replace(good, "27", "x", 1),
		strings.Replace(good, "Uid:\t1", "Uid:\t-1", 1), strings.Replace(good, "Uid:\t1", "Uid:\t99999999999", 1)} {
		if c, err := parseStatus([]byte(bad)); !errors.Is(err, errShape) {
			t.Errorf("%q: %+v, %v", bad, c, err)
		}
	}
}

func TestHeartbeatNames(t *testing.T) {
	t.Parallel()
	for link, want := range map[string]bool{
		"/tmp/wgunicorn-abc (deleted)": true, "/dev/shm/x/wgunicorn-1 (deleted)": true, "/tmp/wgunicorn-abc": false,
		"/tmp/wgunicorn-abc/other (deleted)": false, "/tmp/xwgunicorn-a (deleted)": false, "socket:[1]": false, "": false,
	} {
		if got := isHeartbeat(link); got != want {
			t.Errorf("%q: %t", link, got)
		}
	}
}

func TestListenerLines(t *testing.T) {
	t.Parallel()
	tcp := strings.Fields("0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 777 1")
	if n, ok := tcpListener(tcp); n != 777 || !ok {
		t.Error(n, ok)
	}
	tcp[3] = "01"
	if n, ok := tcpListener(tcp); ok {
		t.Error(n)
	}
	unix := strings.Fields("0000: 00000002 00000000 00010000 0001 01 888 /a b")
	if n, ok := unixListener(unix); n != 888 || !ok {
		t.Error(n, ok)
	}
	unix[3] = "00000000"
	if n, ok := unixListener(unix); ok {
		t.Error(n)
	}
}

// The identity of this process has the values that the kernel reports.
func TestReadSelf(t *testing.T) {
	t.Parallel()
	p, err := Read("/proc", os.Getpid())
	if err != nil || p.Parent != os.Getppid() || int(p.UID()) != os.Getuid() || int(p.GID()) != os.Getgid() || p.Start == 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	if exe, err := os.Executable(); err != nil || exe != p.ExePath {
		t.Errorf("%q, %q, %v", exe, p.ExePath, err)
	}
	if err := Unconfined("/proc", os.Getpid()); err != nil {
		t.Error(err)
	}
	for _, pid := range []int{-1, 0, 1 << 30} {
		if _, err := Read("/proc", pid); !errors.Is(err, ErrGone) {
			t.Errorf("%d: %v", pid, err)
		}
		if _, err := Listeners("/proc", pid); !errors.Is(err, ErrGone) {
			t.Errorf("listeners of %d: %v", pid, err)
		}
		if _, err := ReadFiles("/proc", pid); !errors.Is(err, ErrGone) {
			t.Errorf("files of %d: %v", pid, err)
		}
	}
}

func FuzzParseStatus(f *testing.F) {
	f.Add([]byte("Uid:\t1 2 3 4\nGid:\t1 1 1 1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseStatus(b)
		if err == nil && (!slices.IsSorted(c.Groups) || c.Uniform() && Agree(c, c) != nil) {
			t.Errorf("%+v", c)
		}
	})
}

func TestSamePIDs(t *testing.T) {
	t.Parallel()
	if same, err := SamePIDs("/proc", os.Getpid()); !same || err != nil {
		t.Errorf("%t, %v", same, err)
	}
	if _, err := SamePIDs("/proc", 1<<22+1); err == nil {
		t.Error("a process that is not there")
	}
}
