package naming

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// shop returns a process of gunicorn of our own user, whose file of settings names it.
func shop(t *testing.T, root string, pid int) *table.Process {
	t.Helper()
	dir, cwd := filepath.Join(root, strconv.Itoa(pid)), t.TempDir()
	mount, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "ns"), 0o755),
		os.Symlink(mount, filepath.Join(dir, "ns/mnt")),
		os.Symlink("/", filepath.Join(dir, "root")),
		os.Symlink("/proc/self/mountinfo", filepath.Join(dir, "mountinfo")),
		os.Symlink(cwd, filepath.Join(dir, "cwd")),
		os.WriteFile(filepath.Join(dir, "status"), []byte("Name:\tx\nUid:\t"+strings.Repeat(strconv.Itoa(os.Geteuid())+"\t", 4)+"\n"), 0o600),
		os.WriteFile(filepath.Join(cwd, "gunicorn.conf.py"), []byte("proc_name = 'shop'\n"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	p := &table.Process{PID: pid, UID: uint32(os.Geteuid()), Argv: []string{"gunicorn", "app:app"}}
	p.Program = cmdline.Classify(p.Argv)
	return p
}

// While the files of another process are looked at, a name is not taken for known; the next
// scan finds it. It is tried maxTries times.
func TestBaseNameWhileBusy(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	fs := procfs.New(root)
	n := NewNamer(fs, table.New(fs))
	once, always := shop(t, root, 7), shop(t, root, 8)
	<-n.files.free
	if got := n.BaseName(once); got != "app" || once.Names().Known || !once.Names().Pending() {
		t.Errorf("while it is busy: %q, %+v", got, once.Names())
	}
	for i := range maxTries {
		if n.BaseName(always); always.Names().Known != (i == maxTries-1) || always.Names().Pending() == always.Names().Known {
			t.Errorf("after %d tries: %+v", i+1, always.Names())
		}
	}
	n.files.free <- struct{}{}
	if got := n.BaseName(once); got != "shop" || !once.Names().Known || once.Names().Pending() {
		t.Errorf("once it is free: %q, %+v", got, once.Names())
	}
	if got := n.BaseName(always); got != "app" {
		t.Errorf("after all tries: %q", got)
	}
}
