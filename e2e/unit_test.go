package e2e_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	unitDir      = "../deploy/systemd"
	serviceName  = "resp-exporter.service"
	systemdUnits = "/usr/lib/systemd/system"
)

// settings returns the values of each key of a unit file, in their order.
func settings(t *testing.T, file string) map[string][]string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			out[key] = append(out[key], value)
		}
	}
	return out
}

// TestUnitFiles checks the units and the drop-ins with systemd's own parser, that no
// key is unknown, that every program that they name exists, and that they are as closed
// as the documentation says.
func TestUnitFiles(t *testing.T) {
	t.Parallel()
	need(t, "systemd-analyze")
	limits := map[string]int{"": 25, "statsd.conf": 25, "healing.conf": 30, "cleandisk.conf": 30, "containers.conf": 30, "root.conf": 55}
	if examples, err := filepath.Glob(unitDir + "/examples/*.conf"); err != nil || len(examples) != len(limits)-1 {
		t.Errorf("%d drop-ins, %d are checked (%v)", len(examples), len(limits)-1, err)
	}
	for name, limit := range limits {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := unitRoot(t, name)
			if out := tool(t, "", "systemd-analyze", "verify", "--man=no", "--root="+root, serviceName, "resp-exporter.socket", "resp-exporter-statsd.socket"); out != "" {
				t.Errorf("verify: %s", out)
			}
			out := tool(t, "", "systemd-analyze", "security", "--no-pager", "--offline=true", fmt.Sprintf("--threshold=%d", limit), "--root="+root, serviceName)
			if admin := strings.Contains(out, "✗ CapabilityBoundingSet=~CAP_SYS_ADMIN"); admin != (name == "containers.conf") {
				t.Errorf("CAP_SYS_ADMIN: %v", admin)
			}
		})
	}
}

// TestUnitNamespaces checks that the service is in the namespaces of the host that are
// compared with those of apps; systemd's default is no for each setting.
func TestUnitNamespaces(t *testing.T) {
	t.Parallel()
	unit := settings(t, filepath.Join(unitDir, serviceName))
	for _, key := range []string{"PrivateNetwork", "PrivateUsers", "PrivateIPC", "PrivatePIDs", "ProtectHostname", "RootDirectory", "RootImage"} {
		if unit[key] != nil {
			t.Errorf("%s=%s: apps of the host would look like those of containers", key, unit[key])
		}
	}
}

// unitRoot returns a directory with the units, one drop-in, the programs of the unit,
// and the targets of this machine's systemd.
func unitRoot(t *testing.T, dropIn string) string {
	t.Helper()
	root := t.TempDir()
	targets, err := filepath.Glob(systemdUnits + "/*.target")
	if err != nil || len(targets) == 0 {
		t.Fatalf("no target in %s: apt-get install systemd (%v)", systemdUnits, err)
	}
	groups, _ := filepath.Glob(systemdUnits + "/*.slice")
	units, _ := filepath.Glob(unitDir + "/resp-exporter*.s*")
	from := map[string]string{binary: "/usr/bin/resp-exporter", "/bin/kill": "/bin/kill"}
	for _, file := range append(append(targets, groups...), units...) {
		from[file] = filepath.Join(systemdUnits, filepath.Base(file))
	}
	if dropIn != "" {
		from[filepath.Join(unitDir, "examples", dropIn)] = filepath.Join("/etc/systemd/system", serviceName+".d", dropIn)
	}
	for source, to := range from {
		to = filepath.Join(root, to)
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), copyFile(source, to)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestUnitRights runs the exporter as an ordinary user with exactly the capabilities and
// the system calls of the unit: an app of root is seen completely, down to the view that
// a request is in. Without one of the capabilities it is not, so each is needed.
func TestUnitRights(t *testing.T) {
	t.Parallel()
	dir, path := public(t)
	filter := filepath.Join(dir, "seccomp.py")
	if err := copyFile("lib/seccomp.py", filter); err != nil {
		t.Fatal(err)
	}
	unit := settings(t, filepath.Join(unitDir, serviceName))
	caps := strings.Fields(unit["AmbientCapabilities"][0])
	if bound := unit["CapabilityBoundingSet"]; len(bound) != 1 || !slices.Equal(strings.Fields(bound[0]), caps) {
		t.Errorf("CapabilityBoundingSet=%q, but AmbientCapabilities=%q", bound, caps)
	}
	calls := systemCalls(t, unit["SystemCallFilter"])
	a := serve(t, launch{server: "gunicorn", args: []string{"-w", "2"}})
	for _, without := range append([]string{""}, caps...) {
		t.Run("without "+without, func(t *testing.T) {
			t.Parallel()
			kept := slices.DeleteFunc(slices.Clone(caps), func(c string) bool { return c == without })
			x := watch(t, export{
				binary: path, wrap: append(withRights(kept), python, filter, calls),
				statsd: fmt.Sprintf("statsd: {listen: [\"udp://127.0.0.1:%d\"]}\n", freeUDPPort(t)),
			})
			if without != "" {
				eventually(t, 20*time.Second, func() error {
					m := x.scrape(t)
					return all(
						m.want(0, "resp_collector_available", "collector=listener", "reason=permission"),
						m.want(0, "resp_collector_available", "collector=workers", "reason=permission"),
						m.want(1, "resp_up", "component=app:"+a.name),
					)
				})
				return
			}
			eventually(t, 20*time.Second, func() error {
				a.get("/healthz")
				m := x.scrape(t)
				return all(
					seen(m, a, "gunicorn", 2),
					m.has("resp_app_memory_bytes", "app="+a.name, "kind=pss"),
					m.has("resp_worker_heartbeat_age_seconds", "app="+a.name),
					m.want(2, "resp_app_workers", "app="+a.name, "state=idle"),
					m.has("resp_stacks_total", "outcome=ok"),
				)
			})
		})
	}
}

// withRights returns the command that runs a program as the user nobody with only these
// capabilities.
func withRights(caps []string) []string {
	set := "-all"
	for _, c := range caps {
		set += ",+" + strings.ToLower(strings.TrimPrefix(c, "CAP_"))
	}
	return append(slices.Clone(nobody), "--inh-caps="+set, "--ambient-caps="+set, "--bounding-set="+set, "--no-new-privs")
}

// systemCalls returns the numbers of the calls that SystemCallFilter= leaves, as systemd
// reads its lines: lists of groups and names; after ~ they are taken away.
func systemCalls(t *testing.T, lines []string) string {
	t.Helper()
	need(t, "systemd-analyze", "gcc")
	groups, numbers := callGroups(t), callNumbers(t)
	allowed := map[string]bool{"execve": true, "exit": true, "exit_group": true, "rt_sigreturn": true} // always
	for _, line := range append([]string{"@default"}, lines...) {
		list, off := strings.CutPrefix(line, "~")
		for name := range strings.FieldsSeq(list) {
			for _, call := range callsOf(groups, name) {
				allowed[call] = !off
			}
		}
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(allowed)) {
		if n, ok := numbers[name]; ok && allowed[name] {
			out = append(out, n)
		}
	}
	if len(out) < 100 {
		t.Fatalf("only %d system calls are left of %q", len(out), lines)
	}
	return strings.Join(out, ",")
}

// callsOf returns the calls of a group and of the groups in it, or the call itself.
func callsOf(groups map[string][]string, name string) (calls []string) {
	if !strings.HasPrefix(name, "@") {
		return []string{name}
	}
	for _, member := range groups[name] {
		calls = append(calls, callsOf(groups, member)...)
	}
	return calls
}

// callGroups returns systemd's groups of system calls.
func callGroups(t *testing.T) map[string][]string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "--no-pager", "syscall-filter").Output()
	if err != nil {
		t.Fatal(err)
	}
	groups, group := map[string][]string{}, ""
	for line := range strings.Lines(string(out)) {
		switch name := strings.TrimSpace(line); {
		case strings.HasPrefix(line, "@"):
			group = name
		case name != "" && !strings.HasPrefix(name, "#"):
			groups[group] = append(groups[group], name)
		}
	}
	return groups
}

// callNumbers returns the numbers of the system calls of this architecture.
func callNumbers(t *testing.T) map[string]string {
	t.Helper()
	gcc := exec.CommandContext(t.Context(), "gcc", "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null")
	out, err := gcc.Output()
	if err != nil {
		t.Fatalf("%v: apt-get install gcc libc6-dev", err)
	}
	numbers := map[string]string{}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) == 3 && strings.HasPrefix(f[1], "__NR_") {
			numbers[strings.TrimPrefix(f[1], "__NR_")] = f[2]
		}
	}
	return numbers
}
