package procfs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// What is read through a directory is of one process, whether the directory is held open or
// not; of too many, none is held open.
func TestProcessDir(t *testing.T) {
	t.Parallel()
	r := procfs.New("/proc")
	sleep := exec.CommandContext(t.Context(), "sleep", "600")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	_, st, err := procfs.OpenRunning(r, sleep.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := procfs.OpenProcess(r, sleep.Process.Pid, st.Start+1); !procfs.Gone(err) {
		t.Errorf("another start: %v", err)
	}
	var dirs []*procfs.ProcessDir
	kept := procfs.KeptFiles{Max: 1}
	var buf [64]byte
	for i := range 3 {
		d, err := procfs.OpenProcess(r, sleep.Process.Pid, st.Start)
		if err != nil {
			t.Fatal(err)
		}
		kept.KeepDir(d)
		dirs = append(dirs, d)
		n, err := d.Read(procfs.FileName("task/"+strconv.Itoa(sleep.Process.Pid)+"/comm"), buf[:])
		if err != nil || d.Held() != (i == 0) || kept.Open() != 1 {
			t.Errorf("%q, %v; held: %t, %d in all", buf[:n], err, d.Held(), kept.Open())
		}
		if n, err := d.Readlink(procfs.FileName("exe"), buf[:]); err != nil || !strings.Contains(string(buf[:n]), "bin/") {
			t.Errorf("%q, %v", buf[:n], err)
		}
	}
	if err := sleep.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = sleep.Wait()
	for _, d := range dirs {
		if _, err := d.Read(procfs.FileName("stat"), buf[:]); !procfs.Gone(err) {
			t.Errorf("after its end: %v", err)
		}
		kept.CloseDir(d)
	}
	if kept.Open() != 0 {
		t.Errorf("%d directories are still open", kept.Open())
	}
}

// A directory that is not held open is not that of a later process with the same pid.
func TestProcessDirOfAnother(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	stat := func(start int) {
		t.Helper()
		text := "7 (x) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 " + strconv.Itoa(start) + " 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
		if err := os.WriteFile(filepath.Join(root, "7", "stat"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(root, "7"), 0o700); err != nil {
		t.Fatal(err)
	}
	stat(100)
	d, err := procfs.OpenProcess(procfs.New(root), 7, 100)
	if err != nil {
		t.Fatal(err)
	}
	var buf [512]byte
	d.Close()
	if n, err := d.Read(procfs.FileName("stat"), buf[:]); err != nil || n == 0 {
		t.Errorf("%d bytes, %v", n, err)
	}
	stat(101)
	if _, err := d.Read(procfs.FileName("stat"), buf[:]); !procfs.Gone(err) {
		t.Errorf("of another process: %v", err)
	}
	if _, err := d.Readlink(procfs.FileName("exe"), buf[:]); !procfs.Gone(err) {
		t.Errorf("link of another process: %v", err)
	}
}
