package discovery

import (
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
)

// fakeProcess writes the files below /proc of a process with these sockets.
func fakeProcess(t *testing.T, root string, pid int, sockets ...int) {
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

// Each reader counts the descriptors above the limit, and an app with such a process
// reports it.
func TestDescriptorsBeyondTheBound(t *testing.T) {
	root := t.TempDir()
	fakeProcess(t, root, 7, 101, 102, 103, 104, 105)
	w, err := New(Options{ProcRoot: root, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	w.table.FS.MaxFDs = 3
	p := &table.Process{PID: 7, Start: 77, Program: cmdline.Program{Server: cmdline.Gunicorn}}
	a := &app{name: "shop", matchIndex: -1, roots: []*table.Process{p}, members: []*table.Process{p}, namespace: w.netOf(p)}
	w.apps = append(w.apps, a)
	for look := range 2 {
		w.table.ReadDescriptors(p)
		if len(p.FDs().Sockets) != 3 || p.FDs().Skipped != 2 {
			t.Errorf("%d sockets, %d left out", len(p.FDs().Sockets), p.FDs().Skipped)
		}
		if s := w.buildSnapshot(t.Context(), time.Unix(1000, 0)); s.DroppedFDs != uint64(2*(look+1)) || !s.Apps[0].FDsCut {
			t.Errorf("look %d: %d left out, %v", look, s.DroppedFDs, s.Apps[0].FDsCut)
		}
	}
	other := &table.Process{PID: 7, Start: 77} // of no app
	if w.table.ReadDescriptors(other); other.FDs().Skipped != 2 || w.table.SkippedFDs != 4 {
		t.Errorf("of no app: %d left out, %d counted", other.FDs().Skipped, w.table.SkippedFDs)
	}
	w.table.FS.MaxFDs = 5
	w.table.ReadDescriptors(p)
	if s := w.buildSnapshot(t.Context(), time.Unix(1000, 0)); s.DroppedFDs != 4 || s.Apps[0].FDsCut {
		t.Errorf("all looked at: %d left out, %v", s.DroppedFDs, s.Apps[0].FDsCut)
	}
}
