package cgroup_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/cgroup"
)

func fixture(name string) *cgroup.FS {
	return &cgroup.FS{
		ProcRoot: filepath.Join("testdata", name, "proc"),
		SysRoot:  filepath.Join("testdata", name, "sys"),
	}
}

// text returns the known fields as text, so that one comparison checks both values and
// missing fields.
func text(s cgroup.Stats) string {
	var out []string
	add := func(name string, known bool, value func() any) {
		if known {
			out = append(out, fmt.Sprintf("%s=%v", name, value()))
		}
	}
	add("limit", s.MemoryLimit != nil, func() any { return *s.MemoryLimit })
	add("current", s.MemoryCurrent != nil, func() any { return *s.MemoryCurrent })
	add("inactive", s.MemoryInactiveFile != nil, func() any { return *s.MemoryInactiveFile })
	ws, ok := s.WorkingSet()
	add("working", ok, func() any { return ws })
	add("cores", s.CPULimit != nil, func() any { return *s.CPULimit })
	add("throttled", s.ThrottledSeconds != nil, func() any { return *s.ThrottledSeconds })
	add("periods", s.NrThrottled != nil, func() any { return *s.NrThrottled })
	add("kills", s.OOMKills != nil, func() any { return *s.OOMKills })
	return strings.Join(out, " ")
}

func TestFixtures(t *testing.T) {
	for _, c := range []struct {
		tree      string
		pid       int
		path, key string
		want      string
	}{
		{
			// The limits of the service bind, not those of its child.
			"v2", 100, "/system.slice/shop.service/workers", "testdata/v2/sys/fs/cgroup/system.slice/shop.service/workers",
			"limit=1073741824 current=900000000 inactive=200000000 working=700000000 cores=1.5 throttled=2.5 periods=40 kills=1",
		},
		{
			// No limit, no CPU controller; more cold cache than memory is none in use.
			"v2", 101, "/user.slice", "testdata/v2/sys/fs/cgroup/user.slice",
			"current=5000 inactive=6000 working=0",
		},
		{"v2", 104, "/", "testdata/v2/sys/fs/cgroup", ""},
		{
			// The limit of a group above what is mounted shows in hierarchical_memory_limit.
			"v1", 100, "/system.slice/shop.service", "testdata/v1/sys/fs/cgroup/memory/abc|testdata/v1/sys/fs/cgroup/cpu,cpuacct/shop/web",
			"limit=268435456 current=400000000 inactive=90000000 working=310000000 cores=0.5 throttled=1.5 periods=60 kills=3",
		},
		{
			"v1", 102, "/docker", "testdata/v1/sys/fs/cgroup/memory|testdata/v1/sys/fs/cgroup/cpu,cpuacct",
			"current=3000 inactive=1000 working=2000 throttled=0 periods=0 kills=0",
		},
	} {
		t.Run(fmt.Sprintf("%s/%d", c.tree, c.pid), func(t *testing.T) {
			f := fixture(c.tree)
			g, err := f.Of(c.pid)
			if err != nil {
				t.Fatal(err)
			}
			if g.Path() != c.path || g.Key() != c.key {
				t.Errorf("path %q key %q, want %q %q", g.Path(), g.Key(), c.path, c.key)
			}
			s, err := f.Read(g)
			if got := text(s); err != nil || got != c.want {
				t.Errorf("got  %s (%v)\nwant %s", got, err, c.want)
			}
		})
	}
}

func TestOfFails(t *testing.T) {
	for _, c := range []struct {
		tree string
		pid  int
		want error
		says string
	}{
		{"v2", 102, cgroup.ErrOutside, "/../other.slice/x.service"},
		{"v1", 101, cgroup.ErrOutside, "/elsewhere below /docker"},
		{"v2", 999, fs.ErrNotExist, "999"},
		{"v2", 105, nil, "rubbish"},
	} {
		_, err := fixture(c.tree).Of(c.pid)
		if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s/%d: %v, want %v and %q", c.tree, c.pid, err, c.want, c.says)
		}
	}
	if _, err := (&cgroup.FS{ProcRoot: t.TempDir()}).Of(1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no procfs: %v, want ErrNotExist", err)
	}
}

func TestReadFails(t *testing.T) {
	f := fixture("v2")
	gone, err := f.Of(103)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := f.Read(gone); !errors.Is(err, fs.ErrNotExist) || text(s) != "" || !strings.Contains(err.Error(), "gone.service") {
		t.Errorf("a group that is gone: %s, %v", text(s), err)
	}
	bad, err := f.Of(106)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Read(bad)
	for _, part := range []string{"bad.slice/memory.max", `"lots\n"`, "bad.slice/cpu quota", `"0"`} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("a broken group: %v, want %s in it", err, part)
		}
	}
}

func TestUnit(t *testing.T) {
	id := strings.Repeat("0af3", 16)
	for path, want := range map[string]string{
		"/system.slice/shop.service":                                                  "shop.service",
		"/system.slice/shop.service/workers":                                          "shop.service",
		"/user.slice/user-1000.slice/user@1000.service/app.slice/shop.service":        "shop.service",
		"/user.slice/user-1000.slice/user@1000.service/app.slice":                     "",
		"/user.slice/user-1000.slice/user@1000.service/app.slice/app-shop-1234.scope": "app-shop-1234.scope",
		"/user.slice/user-1000.slice/session-3.scope":                                 "",
		"/user.slice/user-1000.slice/user@1000.service/init.scope":                    "",
		"/system.slice/docker-" + id + ".scope":                                       "",
		"/system.slice/containerd.service/" + id:                                      "containerd.service",
		"/system.slice/shop@2.service":                                                "shop@2.service",
		"/system.slice/run-u12.scope":                                                 "run-u12.scope",
		"/.service/.scope":                                                            "",
		"/":                                                                           "",
		"":                                                                            "",
	} {
		if got := cgroup.Unit(path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

const hybrid = `31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw
34 31 0:31 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
35 31 0:32 / /sys/fs/cgroup/unified rw master:1 - cgroup2 cgroup2 rw
`

func TestLocate(t *testing.T) {
	const container = "40 31 0:31 / /host/sys/fs/cgroup ro - cgroup2 cgroup2 rw\n41 31 0:32 / /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n"
	for name, c := range map[string]struct {
		cgroup, mounts, sys string
		path, memory, cpu   string
		err                 error
	}{
		"controllers in both versions": {
			"3:cpu:/a\n0::/b\n", hybrid, "/sys",
			"/b", "/sys/fs/cgroup/unified/b", "/sys/fs/cgroup/cpu/a", nil,
		},
		"the host's sysfs has a mount of its own": {
			"0::/b\n", container, "/host/sys", "/b", "/host/sys/fs/cgroup/b", "/host/sys/fs/cgroup/b", nil,
		},
		"the same from inside": {
			"0::/b\n", container, "/sys", "/b", "/sys/fs/cgroup/b", "/sys/fs/cgroup/b", nil,
		},
		"mounted elsewhere, with a blank": {
			"0::/b\n", `9 1 0:3 / /my\040groups rw - cgroup2 none rw` + "\n", "/sys", "/b", "/my groups/b", "/my groups/b", nil,
		},
		"a sibling namespace that is mounted": {
			"0::/../x\n", "9 1 0:3 /.. /sys/fs/cgroup rw - cgroup2 none rw\n", "/sys", "/../x", "/sys/fs/cgroup/x", "/sys/fs/cgroup/x", nil,
		},
		"outside by name only": {
			"0::/bx\n", "9 1 0:3 /b /sys/fs/cgroup rw - cgroup2 none rw\n", "/sys", "", "", "", cgroup.ErrOutside,
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, memory, cpu, err := cgroup.Locate([]byte(c.cgroup), []byte(c.mounts), c.sys)
			if path != c.path || memory != c.memory || cpu != c.cpu || !errors.Is(err, c.err) {
				t.Errorf("got %q %q %q %v", path, memory, cpu, err)
			}
		})
	}
}

func TestControllerNotMounted(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"self/mountinfo": hybrid, "7/cgroup": "9:memory:/a\n0::/\n"} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := &cgroup.FS{ProcRoot: dir, SysRoot: "testdata/v2/sys"}
	g, err := f.Of(7)
	if err != nil || g.Path() != "/a" || !strings.HasPrefix(g.Key(), "|") {
		t.Errorf("path %q key %q err %v, want no memory group", g.Path(), g.Key(), err)
	}
}

func BenchmarkRead(b *testing.B) {
	for _, tree := range []string{"v1", "v2"} {
		b.Run(tree, func(b *testing.B) {
			f := fixture(tree)
			g, err := f.Of(100)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.Read(g); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOf(b *testing.B) {
	var f cgroup.FS
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Of(os.Getpid()); err != nil {
			b.Fatal(err)
		}
	}
}
