package conns

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

func TestConnectionsBeyondTheBound(t *testing.T) {
	root := t.TempDir()
	fakeHolder(t, root, 7, 101, 102, 103, 104, 105)
	r := procfs.New(root)
	r.MaxFDs = 3
	c := &Sampler{r: r}
	found := &netnsSockets{byInode: make(map[uint64]serviceSocket)}
	for ino := uint64(101); ino <= 105; ino++ {
		found.byInode[ino] = serviceSocket{component: "mysql"}
	}
	h := &AppProcesses{Name: "shop", Members: []ProcessKey{{7, 77}, {7, 78}}} // the second has ended
	out := &Sample{Errs: make(map[string]error)}
	c.join(h, found, newQuota(0), out)
	if len(out.List) != 3 || out.DroppedFDs != 2 || !errors.Is(out.Errs["shop"], procfs.ErrTooManyFDs) {
		t.Errorf("%d connections, %d left out, %v", len(out.List), out.DroppedFDs, out.Errs)
	}
}

// fakeHolder writes the files below /proc of a process with these sockets.
func fakeHolder(t *testing.T, root string, pid int, sockets ...int) {
	t.Helper()
	dir := filepath.Join(root, strconv.Itoa(pid))
	if err := os.MkdirAll(filepath.Join(dir, "fd"), 0o755); err != nil {
		t.Fatal(err)
	}
	stat := strconv.Itoa(pid) + " (python3) S 1 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 77 0 0 0"
	if err := os.WriteFile(filepath.Join(dir, "stat"), []byte(stat), 0o600); err != nil {
		t.Fatal(err)
	}
	for fd, ino := range sockets {
		if err := os.Symlink("socket:["+strconv.Itoa(ino)+"]", filepath.Join(dir, "fd", strconv.Itoa(fd))); err != nil {
			t.Fatal(err)
		}
	}
}
