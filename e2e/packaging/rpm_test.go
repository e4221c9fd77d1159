package packaging_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/sassoftware/go-rpmutils"
)

// readsRPM compares the rpm with the deb: the same files and directories of its own with the
// same owners and modes, the same configuration files, the same scripts. A directory that the
// rpm does not list stays after its removal.
func readsRPM(t *testing.T, b built) {
	f, err := os.Open(b.rpm)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rpm, err := rpmutils.ReadRpm(f)
	if err != nil {
		t.Fatal(err)
	}
	nevra, err := rpm.Header.GetNEVRA()
	if err != nil || nevra.Name != "resp-exporter" || nevra.Version != newest || nevra.Arch != rpmArch[runtime.GOARCH] {
		t.Errorf("%+v, %v", nevra, err)
	}
	files, err := rpm.Header.GetFiles()
	if err != nil {
		t.Fatal(err)
	}
	in, config := map[string]string{}, map[string]bool{}
	for _, file := range files {
		in[file.Name()] = fmt.Sprintf("%04o %s/%s", file.Mode()&0o7777, file.UserName(), file.GroupName())
		config[file.Name()] = file.Flags()&rpmutils.RPMFILE_CONFIG != 0 && file.Flags()&rpmutils.RPMFILE_NOREPLACE != 0
	}
	compare(t, filesOfDeb(t, b.deb), in)
	for _, path := range []string{configFile, "/etc/default/resp-exporter"} {
		if !config[path] {
			t.Errorf("%s is not a configuration file that an upgrade keeps", path)
		}
	}
	for tag, file := range map[int]string{
		rpmutils.PREIN: "preinstall", rpmutils.POSTIN: "postinstall", rpmutils.PREUN: "preremove", rpmutils.POSTUN: "postremove",
	} {
		script, err := rpm.Header.GetString(tag)
		if want := read(t, "../../deploy/package/"+file+".sh"); err != nil || strings.TrimSpace(script) != strings.TrimSpace(want) {
			t.Errorf("%s: %v\n%s", file, err, script)
		}
	}
}

// elsewhere are the paths that differ between the two kinds of packages.
var elsewhere = map[string]string{
	"/usr/share/zsh/vendor-completions/_resp-exporter": "/usr/share/zsh/site-functions/_resp-exporter",
	"/usr/share/doc/resp-exporter":                     "/usr/share/licenses/resp-exporter",
	"/usr/share/doc/resp-exporter/copyright":           "/usr/share/licenses/resp-exporter/LICENSE",
}

// compare compares the files of the deb with those of the rpm.
func compare(t *testing.T, deb, rpm map[string]string) {
	t.Helper()
	for path, want := range deb {
		if other, ok := elsewhere[path]; ok {
			path = other
		}
		if rpm[path] != want {
			t.Errorf("%s: %q in the rpm, %q in the deb", path, rpm[path], want)
		}
		delete(rpm, path)
	}
	for path := range rpm {
		t.Errorf("%s is only in the rpm", path)
	}
}

// filesOfDeb returns mode and owners of the files of the deb, and of the directories that are
// its own, by their path.
func filesOfDeb(t *testing.T, deb string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for line := range strings.Lines(run(t, nil, "dpkg-deb", "-c", deb)) {
		f := strings.Fields(line)
		path := strings.TrimSuffix(strings.TrimPrefix(f[len(f)-1], "."), "/")
		if f[0][0] == 'd' && !strings.Contains(path, "/resp-exporter") {
			continue
		}
		var mode int
		for i, c := range f[0][1:10] {
			if c != '-' {
				mode |= 1 << (8 - i)
			}
		}
		out[path] = fmt.Sprintf("%04o %s", mode, f[1])
	}
	if len(out) < 20 {
		t.Fatalf("only %d files in %s", len(out), deb)
	}
	return out
}

// TestPackageScripts runs the scripts with a strict shell, as on a host with systemd, and
// checks how they call systemctl. They succeed if systemctl does not.
func TestPackageScripts(t *testing.T) {
	t.Parallel()
	const reload, restart = "daemon-reload\n", "try-restart resp-exporter.service\n"
	const disable = "--quiet disable --now resp-exporter.service resp-exporter.socket resp-exporter-statsd.socket\n"
	for _, c := range []struct{ script, step, before, calls string }{
		{"postinstall", "configure", "", reload},
		{"postinstall", "configure", older, reload + restart},
		{"postinstall", "1", "", reload},
		{"postinstall", "2", "", reload + restart},
		{"postinstall", "abort-upgrade", older, reload},
		{"preremove", "remove", "", disable},
		{"preremove", "0", "", disable},
		{"preremove", "upgrade", newest, ""},
		{"preremove", "failed-upgrade", older, ""},
		{"preremove", "1", "", ""},
		{"postremove", "upgrade", newest, reload},
		{"postremove", "remove", "", reload},
		{"postremove", "0", "", reload},
	} {
		script := read(t, "../../deploy/package/"+c.script+".sh")
		for _, fails := range []string{"0", "1"} {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "systemctl"), "#!/bin/sh\necho \"$@\" >>"+dir+"/calls\nexit "+fails+"\n")
			write(t, filepath.Join(dir, "calls"), "")
			if err := os.Chmod(filepath.Join(dir, "systemctl"), 0o755); err != nil { //nolint:gosec // a program
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "sh", "-euc", strings.ReplaceAll(script, "/run/systemd/system", dir), "sh", c.step, c.before) //nolint:gosec // a file of ours
			cmd.Env = []string{"PATH=" + dir}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s %s, systemctl exits with %s: %v\n%s", c.script, c.step, fails, err, out)
			}
			if calls := read(t, filepath.Join(dir, "calls")); calls != c.calls {
				t.Errorf("%s %s, systemctl exits with %s: it is called with %q, not %q", c.script, c.step, fails, calls, c.calls)
			}
		}
	}
}
