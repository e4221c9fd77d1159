package procfs_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// TestReadlinkWhileItEnds reads links of processes that are reaped at that moment. It checks that
// no link is reported as refused: the kernel answers EACCES for one whose process has just ended.
func TestReadlinkWhileItEnds(t *testing.T) {
	t.Parallel()
	r := procfs.New("/proc")
	for _, name := range []string{"exe", "cwd", "fd/0", "ns/mnt"} {
		for range 150 {
			c := exec.CommandContext(t.Context(), "/bin/true")
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			reaped := make(chan error)
			go func() { reaped <- c.Wait() }()
			for {
				_, err := r.Readlink(c.Process.Pid, name)
				if procfs.Denied(err) {
					t.Fatalf("%s of a process that ends: %v", name, err)
				}
				if _, gone := os.Stat(r.Path(c.Process.Pid, "stat")); gone != nil {
					break
				}
			}
			if err := <-reaped; err != nil {
				t.Fatal(err)
			}
		}
	}
}
