package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestUnitFilesOfApps runs the exporter with exactly the rights of the unit, in a mount
// namespace where the directories of the apps are hidden, as by ProtectHome=yes or
// PrivateTmp=yes. It finds the names in the settings files of servers as these see them:
// by paths below their root directory, which may be another one, or by their working
// directory. An app of a user namespace, whose user may have mounted anything, is named
// after its module. Without CAP_SYS_PTRACE all apps of other users are.
func TestUnitFilesOfApps(t *testing.T) {
	t.Parallel()
	need(t, "unshare", "chroot")
	dir, path := public(t)
	filter := filepath.Join(dir, "seccomp.py")
	if err := copyFile("lib/seccomp.py", filter); err != nil {
		t.Fatal(err)
	}
	unit := settings(t, filepath.Join(unitDir, serviceName))
	caps := strings.Fields(unit["AmbientCapabilities"][0])
	calls := systemCalls(t, unit["SystemCallFilter"])
	named, hidden := appsWithSettings(t)
	hide := ""
	for _, d := range hidden {
		hide += fmt.Sprintf("mount -t tmpfs -o mode=0 none %s; ", d)
	}
	for _, without := range []string{"", "CAP_SYS_PTRACE"} {
		t.Run("without "+without, func(t *testing.T) {
			rights := caps
			if without != "" {
				rights = strings.Fields(strings.ReplaceAll(strings.Join(caps, " "), without, ""))
			}
			wrap := append([]string{"unshare", "--mount", "sh", "-ec", hide + `exec "$@"`, "sh"}, withRights(rights)...)
			x := watch(t, export{binary: path, wrap: append(wrap, python, filter, calls), statsd: fmt.Sprintf("statsd: {listen: [\"udp://127.0.0.1:%d\"]}\n", freeUDPPort(t))})
			eventually(t, 30*time.Second, func() error {
				m := x.scrape(t)
				var errs []error
				for a, name := range named {
					if without != "" {
						name = a.name
					}
					errs = append(errs, m.want(1, "resp_up", "component=app:"+name))
				}
				return all(errs...)
			})
		})
	}
}

// appsWithSettings starts apps as they may be on a host, and returns the name that each is to
// have, and their directories.
func appsWithSettings(t *testing.T) (named map[*app]string, dirs []string) {
	t.Helper()
	named = make(map[*app]string)
	env := append(withoutTitles(t), "PYTHONUNBUFFERED=1")
	add := func(name string, l launch) {
		l.dir = openDir(t)
		l.name = unique("module")
		l.env = append(l.env, env...)
		write(t, filepath.Join(l.dir, "gunicorn.conf.py"), fmt.Sprintf("proc_name = '%s'\n", name))
		a := serve(t, l)
		if l.wrap != nil {
			eventually(t, 20*time.Second, func() error { return wants("status", a.get("/healthz"), 200) })
		}
		// Nobody but root and the capability CAP_DAC_READ_SEARCH sees what is in it.
		if err := os.Chmod(l.dir, 0o700); err != nil { //nolint:gosec // a directory
			t.Fatal(err)
		}
		if named[a] = name; name == "" {
			named[a] = a.name
		}
		dirs = append(dirs, l.dir)
	}
	add(unique("cwd"), launch{server: "gunicorn"})
	absolute := write(t, filepath.Join(openDir(t), "c.py"), "proc_name = 'absolute-c'\n")
	dirs = append(dirs, filepath.Dir(absolute))
	add("absolute-c", launch{server: "gunicorn", args: []string{"-c", absolute}})
	inside := `mount -t tmpfs none /mnt; printf "%s" "proc_name = 'inside-c'" >/mnt/c.py; exec "$@"`
	add("inside-c", launch{server: "gunicorn", args: []string{"-c", "/mnt/c.py"}, wrap: []string{"unshare", "--mount", "sh", "-ec", inside, "sh"}})
	add("", launch{server: "gunicorn", args: []string{"-c", "/mnt/c.py"}, wrap: []string{"unshare", "--mount", "--user", "--map-root-user", "sh", "-ec", inside, "sh"}})
	return named, dirs
}
