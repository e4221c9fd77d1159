package naming_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/naming"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// gunicorn returns a process of gunicorn of our own user.
func gunicorn(pid int, argv ...string) *table.Process {
	p := &table.Process{PID: pid, UID: uint32(os.Geteuid()), Argv: append([]string{"gunicorn"}, argv...)}
	p.Program = cmdline.Classify(p.Argv)
	return p
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// A file of settings is read only if it is a regular file of a bounded size that the
// app's user or root owns, and that only its owner can change.
func TestSettingsFile(t *testing.T) {
	t.Parallel()
	const text = "proc_name = 'shop'\n"
	for name, c := range map[string]struct {
		arrange func(cwd string) string // returns the name of the file in the command line
		want    string
		refused uint64
	}{
		"relative": {func(cwd string) string {
			must(t, os.WriteFile(filepath.Join(cwd, "c.py"), []byte(text), 0o600))
			return "c.py"
		}, "shop", 0},
		"absolute": {func(cwd string) string {
			must(t, os.WriteFile(filepath.Join(cwd, "c.py"), []byte(text), 0o600))
			return filepath.Join(cwd, "c.py")
		}, "shop", 0},
		"a pipe that nobody writes to": {func(cwd string) string {
			must(t, unix.Mkfifo(filepath.Join(cwd, "c.py"), 0o600))
			return "c.py"
		}, "app", 1},
		"too long": {func(cwd string) string {
			must(t, os.WriteFile(filepath.Join(cwd, "c.py"), []byte(text+strings.Repeat("#", 64<<10)), 0o600))
			return "c.py"
		}, "app", 1},
		"a URL":            {func(string) string { return "http://example.org/c.py" }, "app", 0},
		"a path too long":  {func(string) string { return strings.Repeat("x/", unix.PathMax) }, "app", 0},
		"with a line feed": {func(string) string { return "c\n.py" }, "app", 0},
		"on /proc":         {func(string) string { return "/proc/self/cmdline" }, "app", 1},
		"a name too long":  {func(string) string { return strings.Repeat("x", 300) }, "app", 0},
		"below a file": {func(cwd string) string {
			must(t, os.WriteFile(filepath.Join(cwd, "c.py"), []byte(text), 0o600))
			return "c.py/d.py"
		}, "app", 0},
		"for others": {func(cwd string) string {
			name := filepath.Join(cwd, "c.py")
			must(t, os.WriteFile(name, []byte(text), 0o600), os.Chmod(name, 0o602))
			return "c.py"
		}, "app", 1},
		"not there": {func(string) string { return "c.py" }, "app", 0},
	} {
		root := t.TempDir()
		fake(t, root, 7, nil, nil)
		cwd, err := os.Readlink(filepath.Join(root, "7/cwd"))
		must(t, err)
		fs := procfs.New(root)
		n := naming.NewNamer(fs, table.New(fs))
		if got := n.BaseName(gunicorn(7, "-c", c.arrange(cwd), "app:app")); got != c.want || n.Refused() != c.refused {
			t.Errorf("%s: %q, want %q; %d refused, want %d", name, got, c.want, n.Refused(), c.refused)
		}
	}
}

// A working directory that was removed, or that cannot be read, has no files.
func TestSettingsWithoutDirectory(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"/srv/shop (deleted)", "srv", ""} {
		root := t.TempDir()
		fake(t, root, 7, nil, map[string]string{"gunicorn.conf.py": "proc_name = 'shop'\n"})
		link := filepath.Join(root, "7/cwd")
		must(t, os.Remove(link))
		if target != "" {
			must(t, os.Symlink(target, link))
		}
		fs := procfs.New(root)
		if got := naming.NewNamer(fs, table.New(fs)).BaseName(gunicorn(7, "app:app")); got != "app" {
			t.Errorf("in %q: %q", target, got)
		}
	}
}

// If the budget is used up no settings are read, and a later scan finds the name.
func TestBaseNameWithinBudget(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	fake(t, root, 7, nil, map[string]string{"gunicorn.conf.py": "proc_name = 'shop'\n"})
	fs := procfs.New(root)
	tab := table.New(fs)
	n, p := naming.NewNamer(fs, tab), gunicorn(7, "app:app")
	account := tab.Owner(p).Account
	tab.Budget.Spend(account, table.CostLink, 1<<17)
	if got := n.BaseName(p); got != "app" || p.Names().Known {
		t.Errorf("without an allowance: %q, known %v", got, p.Names().Known)
	}
	for range 64 { // what was spent beyond the allowance is owed
		tab.Budget.Begin(false)
	}
	if got := n.BaseName(p); got != "shop" || !p.Names().Known {
		t.Errorf("with one: %q, known %v", got, p.Names().Known)
	}
}

// Without a name in its settings, an app is named after the unit, the script, or "app",
// in this order.
func TestBaseNameOfNothing(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	fs := procfs.New(root)
	n := naming.NewNamer(fs, table.New(fs))
	for want, p := range map[string]*table.Process{
		"shop": {PID: 1000, Unit: "shop", Program: cmdline.Program{Server: cmdline.UWSGI, Script: "uwsgi"}},
		"till": {PID: 1001, Unit: "run-u7", Program: cmdline.Program{Server: cmdline.UWSGI, Script: "till"}},
		"app":  {PID: 1002, Program: cmdline.Program{Server: cmdline.UWSGI}},
	} {
		if got := n.BaseName(p); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// The host name of a container is the template of its name or, where its namespace
// cannot be entered, of HOSTNAME; the host's own is none.
func TestHostTemplateOfContainer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env, cgroup string
		ours        bool // in the exporter's namespace
		want        string
	}{
		"a container":       {env: "HOSTNAME=shop", want: "shop"},
		"by its id":         {env: "HOSTNAME=4f1c2ab09d3e"},
		"a pod":             {env: "HOSTNAME=agent-x2x9k", cgroup: "0::/kubepods.slice/kubepods-pod1.slice/cri-1.scope\n", want: "agent"},
		"no pod":            {env: "HOSTNAME=agent-x2x9k", cgroup: "0::/docker/1\n", want: "agent-x2x9k"},
		"without a name":    {env: "HOME=/"},
		"the host's itself": {env: "HOSTNAME=shop", ours: true},
	} {
		root := t.TempDir()
		fake(t, root, 7, []string{c.env}, nil)
		must(t, os.WriteFile(filepath.Join(root, "7/cgroup"), []byte(c.cgroup), 0o600))
		uts := filepath.Join(root, "7/ns/uts")
		if c.ours {
			must(t, os.Symlink("/proc/self/ns/uts", uts))
		} else { // a file of another inode, which cannot be entered
			must(t, os.WriteFile(uts, nil, 0o600))
		}
		fs := procfs.New(root)
		n, p := naming.NewNamer(fs, table.New(fs)), gunicorn(7, "app:app")
		for range 2 { // and again, from memory
			if got := n.HostTemplate(p); got != c.want {
				t.Errorf("%s: %q, want %q", name, got, c.want)
			}
			must(t, os.RemoveAll(filepath.Join(root, "7/environ")))
		}
	}
}
