package cgroup_test

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/cgroup"
)

func TestParseMemoryLimit(t *testing.T) {
	for in, want := range map[string]struct {
		limit   uint64
		ok, bad bool
	}{
		"max\n":                {},
		"1073741824\n":         {limit: 1 << 30, ok: true},
		"0\n":                  {ok: true},
		"9223372036854771712":  {},
		"18446744073709551615": {},
		"":                     {bad: true},
		"-1":                   {bad: true},
		"1 2":                  {bad: true},
	} {
		n, ok, err := cgroup.ParseMemoryLimit([]byte(in))
		if n != want.limit || ok != want.ok || (err != nil) != want.bad {
			t.Errorf("%q: %d %v %v", in, n, ok, err)
		}
	}
}

func TestParseCPUMax(t *testing.T) {
	for in, want := range map[string]struct {
		cores   float64
		ok, bad bool
	}{
		"max 100000\n":    {},
		"200000 100000\n": {cores: 2, ok: true},
		"50000 100000":    {cores: 0.5, ok: true},
		"100000":          {bad: true},
		"100000 0":        {bad: true},
		"0 100000":        {bad: true},
		"a b":             {bad: true},
		"":                {bad: true},
	} {
		cores, ok, err := cgroup.ParseCPUMax([]byte(in))
		if cores != want.cores || ok != want.ok || (err != nil) != want.bad {
			t.Errorf("%q: %v %v %v", in, cores, ok, err)
		}
	}
	if _, ok, err := cgroup.ParseQuota([]byte("-1\n"), []byte("100000\n")); ok || err != nil {
		t.Errorf("no quota: %v %v", ok, err)
	}
}

func TestField(t *testing.T) {
	const stat = "oom 1\noom_kill 2\nempty \nword x\ntotal_inactive_file 3"
	for name, want := range map[string]uint64{"oom": 1, "oom_kill": 2, "total_inactive_file": 3, "inactive_file": 0, "empty": 0, "word": 0, "oom_ki": 0} {
		if n, ok := cgroup.Field([]byte(stat), name); n != want || ok != (want != 0) {
			t.Errorf("%s: %d %v, want %d", name, n, ok, want)
		}
	}
}

// FuzzLocate: for any content of the two files, a group's directory is below its
// hierarchy's mount, never elsewhere by "..".
func FuzzLocate(f *testing.F) {
	f.Add("12:memory:/docker/abc\n4:cpu,cpuacct:/shop\n0::/\n", hybrid)
	f.Add("0::/../x\n", "9 1 0:3 /.. /sys/fs/cgroup rw - cgroup2 none rw\n")
	f.Fuzz(func(t *testing.T, membership, mounts string) {
		path, memory, cpu, err := cgroup.Locate([]byte(membership), []byte(mounts), "/sys")
		if err == nil && !strings.HasPrefix(path, "/") {
			t.Errorf("path %q", path)
		}
		for _, dir := range []string{memory, cpu} {
			if dir != "" && dir != filepath.Clean(dir) {
				t.Errorf("directory %q is not clean", dir)
			}
		}
		if rest, ok := cgroup.Within(path, "/"); ok && !strings.HasPrefix(filepath.Join("/top", rest)+"/", "/top/") {
			t.Errorf("%q leads out", path)
		}
	})
}

// FuzzNumbers: a limit that is said to hold is a usable number.
func FuzzNumbers(f *testing.F) {
	f.Add([]byte("max 100000"))
	f.Add([]byte("200000 100000\n"))
	f.Add([]byte("inactive_file 12\noom_kill 3\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, ok, err := cgroup.ParseMemoryLimit(b); ok && (err != nil || n >= 1<<62) {
			t.Errorf("limit %d %v", n, err)
		}
		if cores, ok, err := cgroup.ParseCPUMax(b); ok && (err != nil || !(cores > 0) || math.IsInf(cores, 0)) {
			t.Errorf("cores %v %v", cores, err)
		}
		if _, ok := cgroup.Field(b, "oom_kill"); ok && !strings.Contains(string(b), "oom_kill ") {
			t.Error("a field out of nowhere")
		}
	})
}
