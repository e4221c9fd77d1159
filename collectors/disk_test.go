package collectors_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// diskSpaceOf answers statfs for the fixture's mount points.
func diskSpaceOf(path string) (used, available uint64, file bool, err error) {
	switch path {
	case "/", "/host":
		return 30, 70, false, nil
	case "/srv", "/host/srv":
		return 96, 4, false, nil
	case "/mnt/nfs share", "/hidden":
		return 1, 1, false, nil
	case "/empty":
		return 0, 0, false, nil
	case "/secret":
		return 0, 0, false, syscall.EACCES
	case "/gone":
		return 0, 0, false, syscall.ENOENT
	case "/one/file":
		return 5, 5, true, nil
	}
	return 0, 0, false, fmt.Errorf("nobody should ask for %s", path)
}

func disk(name, rootfs string) *collectors.Disk {
	d := collectors.NewDisk("testdata/"+name, rootfs)
	d.SetStatfs(diskSpaceOf)
	return d
}

func TestDiskGolden(t *testing.T) { golden(t, disk("disk", "/")) }

// mountpoints returns the published values by mount point.
func mountpoints(s collectors.Sample) map[string]float64 {
	out := make(map[string]float64)
	for _, r := range facts(s) {
		out[r.Labels[0]] = r.Value
	}
	return out
}

func TestDiskPermission(t *testing.T) {
	s, err := disk("disk", "/").Collect(t.Context())
	reason, detail := collectors.ReasonOf(err)
	if reason != collectors.Permission || !strings.HasSuffix(detail, "/secret") || len(s.Metrics) != 4 {
		t.Errorf("%s (%s) with %v", reason, detail, mountpoints(s))
	}
}

func TestDiskOfTheHostBelowRootfs(t *testing.T) {
	want := map[string]float64{"/": 0.3, "/srv": 0.96}
	for _, tree := range []string{"disk_host", "disk_first"} {
		s, err := disk(tree, "/host").Collect(t.Context())
		if err != nil || !maps.Equal(mountpoints(s), want) {
			t.Errorf("%s: %v, %v, want %v", tree, mountpoints(s), err, want)
		}
	}
}

func TestDiskFailures(t *testing.T) {
	if _, err := disk("none", "/").Collect(t.Context()); err == nil {
		t.Error("no procfs, no error")
	}
	d := disk("disk_host", "/")
	d.SetStatfs(func(string) (uint64, uint64, bool, error) { return 0, 0, false, syscall.EIO })
	if _, err := d.Collect(t.Context()); !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "/hostile") {
		t.Errorf("got %v, want EIO of each", err)
	}
}

func TestDiskBound(t *testing.T) {
	var table strings.Builder
	for i := range 200 {
		fmt.Fprintf(&table, "27 1 8:%d / /mnt/\xff%03d rw - ext4 /dev/sda rw\n", i, i)
	}
	d := collectors.NewDisk(writeHostTree(t, map[string]string{"self/mountinfo": table.String()}), "/")
	d.SetStatfs(func(path string) (uint64, uint64, bool, error) {
		if !strings.HasPrefix(path, "/mnt/\xff") {
			return 0, 0, false, fmt.Errorf("asked for %q", path)
		}
		return 1, 3, false, nil
	})
	s, err := d.Collect(t.Context())
	if reason, detail := collectors.ReasonOf(err); reason != collectors.Failed || len(s.Metrics) != 128 || !strings.HasPrefix(detail, "72 ") {
		t.Errorf("%s (%s) with %d metrics", reason, detail, len(s.Metrics))
	}
}

// TestDiskMountTable: a table is parsed again as soon as it changes, also to one of the same
// length, and also after it could not be read.
func TestDiskMountTable(t *testing.T) {
	t.Parallel()
	root := writeHostTree(t, map[string]string{"self/mountinfo": ""})
	d := collectors.NewDisk(root, "/")
	d.SetStatfs(func(string) (uint64, uint64, bool, error) { return 1, 3, false, nil })
	file := filepath.Join(root, "self", "mountinfo")
	for _, want := range []string{"/srv", "/srv", "/var", "", "/var", "/mnt"} {
		if want == "" {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			if s, err := d.Collect(t.Context()); err == nil || len(s.State.Disks) != 0 {
				t.Errorf("without a table: %v, %v", s.State.Disks, err)
			}
			continue
		}
		if err := os.WriteFile(file, []byte("27 1 8:1 / "+want+" rw - ext4 /dev/sda rw\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := d.Collect(t.Context())
		if err != nil || len(s.State.Disks) != 1 || s.State.Disks[0].Mountpoint != want {
			t.Errorf("%s: got %v, %v", want, s.State.Disks, err)
		}
	}
}

// TestDiskHostTable: of a host's tree the table of process 1 counts. While that cannot be
// parsed, it is the part of the exporter's own, which is not kept as that of process 1.
func TestDiskHostTable(t *testing.T) {
	t.Parallel()
	const line = "27 1 8:%d / %s rw - ext4 /dev/sda rw\n"
	own, host := fmt.Sprintf(line, 1, "/host/srv")+fmt.Sprintf(line, 2, "/etc"), fmt.Sprintf(line, 3, "/var")
	root := writeHostTree(t, map[string]string{"self/mountinfo": own, "1/mountinfo": "no table\n"})
	d := collectors.NewDisk(root, "/host")
	d.SetStatfs(func(string) (uint64, uint64, bool, error) { return 1, 3, false, nil })
	for _, c := range []struct{ first, want string }{{"no table\n", "/srv"}, {"no table\n", "/srv"}, {host, "/var"}, {host, "/var"}, {own, "/etc"}, {"no table\n", "/srv"}} {
		if err := os.WriteFile(filepath.Join(root, "1", "mountinfo"), []byte(c.first), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := d.Collect(t.Context())
		if err != nil || !slices.ContainsFunc(s.State.Disks, func(x model.Disk) bool { return x.Mountpoint == c.want }) || c.first != own && len(s.State.Disks) != 1 {
			t.Errorf("%q: %v, %v, want %s", c.first, s.State.Disks, err, c.want)
		}
	}
}

// TestDiskStuck: a filesystem that never responds costs one goroutine and one wait, and the
// others are still published.
func TestDiskStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var asked atomic.Int32
		d := collectors.NewDisk("testdata/disk", "/")
		d.SetStatfs(func(path string) (uint64, uint64, bool, error) {
			if path == "/srv" {
				asked.Add(1)
				<-release
			}
			if path == "/secret" {
				return 1, 0, false, nil
			}
			return diskSpaceOf(path)
		})
		for _, wait := range []time.Duration{500 * time.Millisecond, 0, 0} {
			checkStuck(t, d, wait)
		}
		if asked.Load() != 1 || d.Pending() != 1 {
			t.Errorf("asked %d times, %d pending, want one goroutine", asked.Load(), d.Pending())
		}
		close(release)
		synctest.Wait()
		s, err := d.Collect(t.Context())
		if err != nil || len(s.Metrics) != 5 || d.Pending() != 0 {
			t.Errorf("after it answered: %v, %v, %d pending", mountpoints(s), err, d.Pending())
		}
	})
}

// checkStuck collects once, with /srv stuck, and compares how long that took.
func checkStuck(t *testing.T, d *collectors.Disk, wait time.Duration) {
	t.Helper()
	start := time.Now()
	s, err := d.Collect(t.Context())
	reason, detail := collectors.ReasonOf(err)
	if reason != collectors.Timeout || !strings.HasSuffix(detail, "/srv") || len(s.Metrics) != 4 {
		t.Errorf("%s (%s) with %v", reason, detail, mountpoints(s))
	}
	if took := time.Since(start); took != wait {
		t.Errorf("it took %v, want %v", took, wait)
	}
}

func TestDiskLeavesTimeForTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		d := collectors.NewDisk("testdata/disk_host", "/")
		d.SetStatfs(func(path string) (uint64, uint64, bool, error) {
			if path != "/" {
				<-release
			}
			return 1, 1, false, nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		start := time.Now()
		s, err := d.Collect(ctx)
		reason, _ := collectors.ReasonOf(err)
		if took := time.Since(start); reason != collectors.Timeout || took != 100*time.Millisecond || len(s.Metrics) != 1 {
			t.Errorf("%s after %v with %v", reason, took, mountpoints(s))
		}
		close(release)
	})
}

// TestDiskReal compares the values of this machine with df.
func TestDiskReal(t *testing.T) {
	s, err := collectors.NewDisk("/proc", "/").Collect(t.Context())
	if reason, detail := collectors.ReasonOf(err); reason != collectors.OK && reason != collectors.Permission {
		t.Fatal(reason, detail)
	}
	out, err := exec.Command("df", "-P", "-k", "/").Output()
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(strings.Split(string(out), "\n")[1])
	used, err1 := strconv.ParseFloat(f[2], 64)
	available, err2 := strconv.ParseFloat(f[3], 64)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	got, ok := mountpoints(s)["/"]
	if want := used / (used + available); !ok || math.Abs(got-want) > 0.01 {
		t.Errorf("/ is %v full (%v), df says %v; all: %v", got, ok, want, slices.Sorted(maps.Keys(mountpoints(s))))
	}
}
