package packaging_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

const (
	configFile = "/etc/resp-exporter/resp-exporter.yml"
	stateFile  = "/var/lib/resp-exporter/journal.jsonl"
)

// TestRelease builds a release of this tree once, and installs, reads and compares
// what is in it.
func TestRelease(t *testing.T) {
	t.Parallel()
	b := build(t)
	t.Run("tarball", func(t *testing.T) { t.Parallel(); readsTarball(t, b) })
	t.Run("deb", func(t *testing.T) { t.Parallel(); installs(t, b) })
	t.Run("upgrade", func(t *testing.T) { t.Parallel(); upgrades(t, b, before(t, b)) })
	t.Run("readme", func(t *testing.T) { t.Parallel(); followsREADME(t, b) })
	t.Run("rpm", func(t *testing.T) { t.Parallel(); readsRPM(t, b) })
	t.Run("reproducible", func(t *testing.T) {
		t.Parallel()
		again := t.TempDir()
		run(t, []string{"SOURCE_DATE_EPOCH=1700000000"}, "../../tools/release/packages.sh", filepath.Join(b.name, "resp-exporter"), runtime.GOARCH, newest, again)
		for _, file := range []string{b.deb, b.rpm} {
			if read(t, file) != read(t, filepath.Join(again, filepath.Base(file))) {
				t.Errorf("%s differs when it is built again", filepath.Base(file))
			}
		}
	})
}

// installs installs the deb on a host without systemd, runs the program there as the
// service's user, and removes it.
func installs(t *testing.T, b built) {
	h := newHost(t)
	h.install(t, b.deb)
	uid, gid := h.user(t)
	for path, want := range map[string]struct {
		mode os.FileMode
		gid  int
	}{
		"/usr/bin/resp-exporter": {0o711, 0}, "/etc/resp-exporter": {os.ModeDir | 0o750, gid}, configFile: {0o640, gid},
		"/etc/default/resp-exporter": {0o644, 0}, "/usr/lib/systemd/system/resp-exporter.service": {0o644, 0},
	} {
		info, err := os.Lstat(h.file(path))
		if err != nil {
			t.Fatal(err)
		}
		owner := info.Sys().(*syscall.Stat_t)
		if info.Mode() != want.mode || owner.Uid != 0 || int(owner.Gid) != want.gid {
			t.Errorf("%s: mode %v, owner %d:%d, want %v and 0:%d", path, info.Mode(), owner.Uid, owner.Gid, want.mode, want.gid)
		}
	}
	if out := h.asService(t, uid, gid, "/usr/bin/resp-exporter", "--config.check", "--config.file="+configFile); !strings.Contains(out, "valid") {
		t.Errorf("the configuration as the service's user: %s", out)
	}
	h.verify(t)
	write(t, h.file(stateFile), "{}\n")
	h.dpkg(t, "--remove", "resp-exporter")
	for path, want := range map[string]bool{"/usr/bin/resp-exporter": false, "/usr/lib/systemd/system/resp-exporter.service": false, configFile: true, stateFile: true} {
		if exists(h.file(path)) != want {
			t.Errorf("after the removal, %s is there: %v", path, !want)
		}
	}
	h.install(t, b.deb) // with the state, and with the user
	if again, _ := h.user(t); again != uid || !exists(h.file(stateFile)) {
		t.Errorf("installed again: user %d, was %d", again, uid)
	}
	h.dpkg(t, "--purge", "resp-exporter")
	for _, path := range []string{configFile, stateFile, "/usr/share/resp-exporter"} {
		if exists(h.file(path)) {
			t.Errorf("%s is there after a purge", path)
		}
	}
}

// upgrades installs an older package, changes one of its configuration files, and
// upgrades: that file stays, the unchanged one is replaced.
func upgrades(t *testing.T, b built, old string) {
	h := newHost(t)
	h.install(t, old)
	const mine = "slow_request: 2s # mine\n"
	write(t, h.file(configFile), mine)
	write(t, h.file("/etc/resp-exporter/mysql"), "secret\n")
	write(t, h.file(stateFile), "{}\n")
	h.install(t, b.deb)
	if got := read(t, h.file(configFile)); got != mine {
		t.Errorf("the configuration was replaced: %s", got)
	}
	if got := read(t, h.file("/etc/default/resp-exporter")); strings.Contains(got, older) {
		t.Errorf("an unchanged file was not replaced: %s", got)
	}
	if !exists(h.file(stateFile)) || !exists(h.file("/etc/resp-exporter/mysql")) {
		t.Error("the state or a password is gone")
	}
	if status := read(t, h.file("/var/lib/dpkg/status")); !strings.Contains(status, "Version: "+newest+"\n") {
		t.Errorf("dpkg: %s", status)
	}
}

// asService runs a program of the host as the service's user, without capabilities.
func (h host) asService(t *testing.T, uid, gid int, args ...string) string {
	t.Helper()
	return run(t, nil, "chroot", append([]string{fmt.Sprintf("--userspec=%d:%d", uid, gid), "--groups=", h.root}, args...)...)
}

// verify checks the units as they are installed, with the targets of this machine.
func (h host) verify(t *testing.T) {
	t.Helper()
	const dir = "/usr/lib/systemd/system"
	for _, pattern := range []string{"*.target", "*.slice"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s in %s: apt-get install systemd (%v)", pattern, dir, err)
		}
		for _, file := range files {
			h.copy(t, file)
		}
	}
	h.copy(t, "/bin/kill")
	args := []string{"verify", "--man=no", "--root=" + h.root, "resp-exporter.service", "resp-exporter.socket", "resp-exporter-statsd.socket"}
	if out := run(t, nil, "systemd-analyze", args...); out != "" {
		t.Errorf("systemd-analyze: %s", out)
	}
}
