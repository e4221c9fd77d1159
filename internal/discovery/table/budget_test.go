package table

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// commandProcess writes the files below /proc of a new process of this user.
func commandProcess(t *testing.T, root string, pid int, cmdline string) {
	t.Helper()
	dir := filepath.Join(root, strconv.Itoa(pid))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	stat := strconv.Itoa(pid) + " (gunicorn) S 1 2 2 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 9 0 7 0"
	for name, text := range map[string]string{"stat": stat, "cmdline": cmdline} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A longer command line uses more of its user's budget, because each byte costs time.
func TestLongCommandLinesCostMore(t *testing.T) {
	root := t.TempDir()
	tab := New(procfs.New(root))
	none := func(*Process) uint64 { return 0 }
	refresh := func() {
		t.Helper()
		if err := tab.Refresh(time.Unix(1000, 0), none); err != nil {
			t.Fatal(err)
		}
	}
	commandProcess(t, root, 1, "sleep\x00600\x00")
	refresh() // the first look may read more
	tab.Budget.Begin(false)
	const each = 1 + 15
	read := (tab.Budget.allowed(procfs.Account(os.Geteuid()), costLoad) + each - 1) / each
	for i := range read + 5 {
		commandProcess(t, root, 100+i, "gunicorn\x00"+strings.Repeat("a", 15*cmdline.MaxLine)+"\x00")
	}
	refresh()
	if len(tab.Processes) != 1+read || len(tab.Deferred) != 5 {
		t.Errorf("%d read, %d wait, want %d and 5", len(tab.Processes)-1, len(tab.Deferred), read)
	}
	refresh()
	if len(tab.Processes) != 1+read+5 || len(tab.Deferred) != 0 || tab.SkippedProcesses != 0 {
		t.Errorf("then %d read, %d wait, %d unread", len(tab.Processes)-1, len(tab.Deferred), tab.SkippedProcesses)
	}
}
