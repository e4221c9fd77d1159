package cgroup_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/cgroup"
)

// A group that is given a CPU limit is noticed soon if its process waits to be run, and
// read each time from then on.
func TestThrottle(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mounts, err := os.ReadFile("testdata/v2/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	write("proc/self/mountinfo", string(mounts))
	write("proc/7/cgroup", "0::/shop\n")
	set := func(limit, throttled string) {
		write("sys/fs/cgroup/shop/cpu.max", limit+" 100000\n")
		write("sys/fs/cgroup/shop/cpu.stat", "usage_usec 1\nnr_throttled 2\nthrottled_usec "+throttled+"\n")
	}
	groups := &cgroup.FS{ProcRoot: filepath.Join(root, "proc"), SysRoot: filepath.Join(root, "sys")}
	for name, c := range map[string]struct {
		waits bool
		after int // seconds until the limit is seen
	}{"it waits to be run": {true, 5}, "it does not": {false, 30}} {
		set("max", "0")
		var x cgroup.Throttle
		start := time.Unix(1_700_000_000, 0)
		since := func(second int) float64 {
			return x.Since(groups, 7, c.waits, start.Add(time.Duration(second)*time.Second))
		}
		if got := since(0); got != 0 {
			t.Errorf("%s: %v without a limit", name, got)
		}
		set("20000", "1000000")
		for second := 1; second <= c.after; second++ {
			if got := since(second); got != 0 {
				t.Errorf("%s: %v after %d s", name, got, second)
			}
		}
		set("20000", "1500000")
		if got := since(c.after + 1); got != 0.5 {
			t.Errorf("%s: %v with a limit, want half a second", name, got)
		}
	}
}
