package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// oldFiles mounts an ext4 file system of 16 MiB in which files of 2 MiB were last written
// and changed years ago: only the file system itself can be told so.
func oldFiles(t *testing.T, names ...string) (mounted string) {
	t.Helper()
	needRoot(t)
	need(t, "mke2fs", "debugfs", "mount", "umount")
	needDevice(t, "/dev/loop-control", "loop")
	top := openDir(t)
	files, image, mounted := filepath.Join(top, "files"), filepath.Join(top, "image"), filepath.Join(top, "disk")
	if err := errors.Join(os.Mkdir(files, 0o755), os.Mkdir(mounted, 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		write(t, filepath.Join(files, name), strings.Repeat("x", 2<<20))
	}
	call(t, "mke2fs", "-q", "-t", "ext4", "-d", files, image, "16M")
	for i, name := range names {
		for _, what := range []string{"ctime", "mtime"} {
			call(t, "debugfs", "-w", "-R", fmt.Sprintf("sif %s %s 2020010100%02d", name, what, i), image)
		}
	}
	call(t, "mount", "-o", "loop", image, mounted)
	t.Cleanup(func() { call(t, "umount", "--lazy", mounted) })
	return mounted
}

// call runs a program to its end.
func call(t *testing.T, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), scaled(30*time.Second))
	defer cancel()
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
}

// TestCleanDiskByAlert fills a real file system and sends the alert about it. The old files
// that match go, the oldest first; those that are new, open or of another name stay. The
// alert about another file system does nothing.
func TestCleanDiskByAlert(t *testing.T) {
	t.Parallel()
	disk := oldFiles(t, "shop.log.3", "shop.log.2", "shop.log.1", "orders.db")
	write(t, filepath.Join(disk, "shop.log.0"), "new\n")
	if err := os.Symlink("/etc/passwd", filepath.Join(disk, "shop.log.9")); err != nil {
		t.Fatal(err)
	}
	reader := start(t, run.Spec{Name: "tail", Path: "tail", Args: []string{"-f", filepath.Join(disk, "shop.log.2")}})
	eventually(t, 10*time.Second, func() error {
		if !slices.ContainsFunc(opened(reader.PID()), func(s string) bool { return strings.HasSuffix(s, "/shop.log.2") }) {
			return errors.New("the file is not open")
		}
		return nil
	})
	dir := openDir(t)
	token := write(t, filepath.Join(dir, "token"), healToken+"\n")
	x := watch(t, export{args: []string{"--state.dir=" + filepath.Join(dir, "state")}, config: joined(
		"healing:", "  mode: enforce", "  warmup: 0s", "  token_file: "+token, "  rules:", "    - name: disk", "      match: {alertname: RespDiskFull}", "      steps:",
		"        - action: clean_disk",
		"          with: {directories: ["+disk+", "+dir+"], patterns: [\"shop.log.*\"], min_age: 24h, keep_newest: 0, max_files: 10, max_bytes: 100MiB, max_fraction: 0.9, min_used: 0.5}",
		"        - action: escalate")})
	report := func(n, mountpoint string) {
		t.Helper()
		alert := strings.Replace(notification("RespDiskFull", n), `"n":`, fmt.Sprintf(`"mountpoint":%q,"n":`, mountpoint), 1)
		if status, body, err := x.post("/api/v1/alerts", alert, healToken); err != nil || status != http.StatusAccepted {
			t.Fatal(status, body, err)
		}
	}
	becomes := func(want string) {
		t.Helper()
		eventually(t, 30*time.Second, func() error {
			r := x.runs(t)
			if len(r.Runs) == 0 {
				return errors.New("no run")
			}
			_, body, err := x.get("/api/v1/runs")
			return all(err, wants("state of "+body, r.Runs[0].State, want))
		})
	}
	before := space(t, disk)
	report("1", "/proc/../"+disk)
	becomes("escalated")
	if got := namesIn(t, disk); len(got) != 7 {
		t.Errorf("%v", got)
	}
	report("2", disk)
	becomes("verified")
	if got, want := namesIn(t, disk), []string{"lost+found", "orders.db", "shop.log.0", "shop.log.2", "shop.log.9"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if after := space(t, disk); after < before+3<<20 {
		t.Errorf("%d bytes were free, then %d", before, after)
	}
}

// opened returns what a process has open.
func opened(pid int) (out []string) {
	list, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, link := range list {
		if to, err := os.Readlink(link); err == nil {
			out = append(out, to)
		}
	}
	return out
}

func namesIn(t *testing.T, dir string) (out []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		out = append(out, e.Name())
	}
	return out
}

// space returns the free bytes of a file system.
func space(t *testing.T, dir string) uint64 {
	t.Helper()
	var v unix.Statfs_t
	if err := unix.Statfs(dir, &v); err != nil {
		t.Fatal(err)
	}
	return v.Bavail * uint64(v.Bsize)
}
