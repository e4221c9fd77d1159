// Package naming finds what an app is named after: its title, its command line,
// the settings that its server reads, its unit, its script, its host name and
// where it listens.
package naming

import (
	"cmp"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery/appname"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

const (
	settingsCost    = 64 // in descriptors, see table.CostLink
	maxSettingFiles = 4  // of one process
	maxTries        = 3  // how often the files of one process are tried, if they cannot be looked at
)

// Namer finds the names of apps by their root process.
type Namer struct {
	fs    *procfs.FS
	table *table.Table
	files *fileReader

	refused atomic.Uint64 // settings files that were there and were not read
}

// Refused returns how often a settings file was there and was not read, since another user
// could have written or mounted it, or it is no regular file of a bounded size. It may be
// called by several goroutines.
func (n *Namer) Refused() uint64 { return n.refused.Load() }

// NewNamer returns a Namer that reads by r, within the budgets of t.
func NewNamer(r *procfs.FS, t *table.Table) *Namer {
	return &Namer{fs: r, table: t, files: newFileReader(r.Root)}
}

// BaseName returns the name of the app whose root a process is, bounded by [text.Name]: by
// title, command line, the settings that the server reads beside it, systemd unit, or
// script; "app" if nothing names it. It is found once for a process; while its files cannot
// be looked at, the next calls try again, maxTries times in all.
func (n *Namer) BaseName(p *table.Process) string {
	if p.Names().Known {
		return p.Names().Base
	}
	name := p.Program.Name
	if n.table.Budget.TrySpend(n.table.Owner(p).Account, table.CostLink, settingsCost) {
		settings, looked := n.settingsName(p)
		name, p.Names().Known = cmp.Or(settings, name), looked
		p.Names().Tries++
	} else if p.Names().Pending() {
		p.Names().Tries++
	}
	p.Names().Known = p.Names().Known || p.Names().Tries >= maxTries
	p.Names().Base = text.Name(cmp.Or(name, appname.StableUnit(p.Unit), p.Program.Script, "app"))
	return p.Names().Base
}

// settingsName returns the name by the settings beside title and command line; "" for none,
// and if title or command line have one, but for gunicorn see gunicornName. ok is false if
// a file was not looked at.
func (n *Namer) settingsName(p *table.Process) (name string, ok bool) {
	server := p.Program.Server
	switch {
	case server == cmdline.Gunicorn:
		return n.gunicornName(p)
	case p.Program.Name != "":
	case server == cmdline.UWSGI:
		return n.uwsgiSettings(p)
	case server == cmdline.Uvicorn:
		return cmdline.ModuleName(n.fs.Getenv(p.PID, "UVICORN_APP")), true
	case server == cmdline.Flask:
		file, ok := n.inDirectory(p, "wsgi.py", "app.py")
		return strings.TrimSuffix(file, ".py"), ok
	}
	return "", true
}

// gunicornName returns gunicorn's proc_name: by the command line, then GUNICORN_CMD_ARGS, then the
// configuration file; else the application's module, by the command line, then that file; else "".
// A name in the title decides alone: its module if a file of that name is in the working directory,
// else as it is. ok is false if a file was not looked at.
func (n *Namer) gunicornName(p *table.Process) (name string, ok bool) {
	if p.Program.Title && p.Program.Name != "" {
		module, named := cmdline.ApplicationModule(p.Program.Name)
		if !named {
			return p.Program.Name, true
		}
		file, ok := n.inDirectory(p, module+".py", module)
		if file != "" {
			return module, ok
		}
		return p.Program.Name, ok
	}
	args := p.Argv
	if p.Program.Title {
		args = nil
	}
	if name := cmdline.Option(args, "-n", "--name"); name != "" {
		return name, true
	}
	more, _ := cmdline.ParseWords(n.fs.Getenv(p.PID, "GUNICORN_CMD_ARGS"))
	if name := cmdline.Option(more, "-n", "--name"); name != "" {
		return name, true
	}
	file := cmp.Or(cmdline.Option(args, "-c", "--config"), cmdline.Option(more, "-c", "--config"), "gunicorn.conf.py")
	if strings.HasPrefix(file, "python:") {
		return p.Program.Name, true
	}
	settings, ok := n.settingsFile(p, strings.TrimPrefix(file, "file:"))
	conf := cmdline.ParsePython(settings, "proc_name", "wsgi_app")
	return cmp.Or(conf["proc_name"], p.Program.Name, cmdline.ModuleName(conf["wsgi_app"])), ok
}

// uwsgiSettings returns the application that UWSGI_ variables name, else the file name in
// UWSGI_INI unless it is a generic one, else what the last 4 configuration files name, the
// last first and only those in .ini; "" if none does. ok is false if a file was not looked
// at.
func (n *Namer) uwsgiSettings(p *table.Process) (name string, ok bool) {
	variable := func(name string) string {
		return n.fs.Getenv(p.PID, "UWSGI_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_")))
	}
	if name := cmdline.UWSGIModule(variable); name != "" {
		return name, true
	}
	files := cmdline.UWSGIFiles(p.Argv[min(1, len(p.Argv)):])
	if v := variable("ini"); v != "" {
		files = append(files, v)
		if s := cmdline.Stem(cmdline.WithoutSection(v)); !cmdline.GenericStem(s) {
			return s, true
		}
	}
	slices.Reverse(files)
	for _, f := range files[:min(len(files), maxSettingFiles)] {
		file := cmdline.WithoutSection(f)
		if path.Ext(file) != ".ini" {
			continue
		}
		section := strings.TrimPrefix(strings.TrimPrefix(f, file), ":")
		settings, ok := n.settingsFile(p, file)
		if !ok {
			return "", false
		}
		values := cmdline.ParseINI(settings, section, cmdline.Stem(file))
		if name := cmdline.UWSGIModule(func(name string) string { return values[name] }); name != "" {
			return name, true
		}
	}
	return "", true
}

// HostTemplate returns the template of the host name of a process in a UTS namespace other
// than the exporter's, as of a container, see [appname.HostTemplate]; by its variable
// HOSTNAME if that cannot be entered. "" for the host's own, and if it cannot be read. It
// is found once a process.
func (n *Namer) HostTemplate(p *table.Process) string {
	if p.Names().HostKnown {
		return p.Names().Host
	}
	p.Names().HostKnown = true
	var theirs, ours unix.Stat_t
	if unix.Stat(n.fs.Path(p.PID, "ns/uts"), &theirs) != nil || unix.Stat("/proc/self/ns/uts", &ours) != nil || theirs.Ino == ours.Ino {
		return ""
	}
	name := hostName(n.fs.Path(p.PID, "ns/uts"))
	if name == "" { // it needs CAP_SYS_ADMIN
		name = n.fs.Getenv(p.PID, "HOSTNAME")
	}
	pod := slices.ContainsFunc(n.fs.Cgroups(p.PID), func(g string) bool { return strings.Contains(g, "kubepods") })
	p.Names().Host = appname.HostTemplate(name, pod)
	return p.Names().Host
}

// hostName returns the host name of a UTS namespace, "" if it cannot be entered.
// The thread that enters it ends afterwards.
func hostName(namespace string) string {
	fd, err := procfs.OpenRetry(namespace, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return ""
	}
	defer func() { _ = unix.Close(fd) }()
	done := make(chan string)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is of no use to others
		var u unix.Utsname
		if unix.Setns(fd, unix.CLONE_NEWUTS) != nil || unix.Uname(&u) != nil {
			done <- ""
			return
		}
		done <- unix.ByteSliceToString(u.Nodename[:])
	}()
	return <-done
}

// firstEphemeral is the first port that the kernel assigns by itself
// (net.ipv4.ip_local_port_range).
const firstEphemeral = 32768

// StableBind returns where a process listens, as the smallest label of its listeners, or
// without any of its command line; "" if there is none but ports that the kernel may have
// assigned, those of a script that its command line does not name, and paths with a UUID.
func StableBind(p *table.Process, listeners []sockdiag.Listener) string {
	var labels []string
	for _, l := range listeners {
		if p.Program.Server == cmdline.Script && l.Network != sockdiag.Unix && l.Addr.Port() >= firstEphemeral && !mentions(p.Argv, l.Addr.Port()) {
			continue
		}
		if l.Network == sockdiag.Unix && appname.HasUUID(path.Base(l.Path)) {
			continue
		}
		labels = append(labels, sockdiag.Label(l))
	}
	if len(listeners) == 0 {
		labels = cmdline.BindLabels(p.Argv)
	}
	if len(labels) == 0 {
		return ""
	}
	return slices.Min(labels)
}

// mentions reports whether a command line has a port as a number of its own.
func mentions(argv []string, port uint16) bool {
	s := strconv.Itoa(int(port))
	noDigit := func(r rune) bool { return r < '0' || r > '9' }
	return slices.ContainsFunc(argv, func(a string) bool { return slices.Contains(strings.FieldsFunc(a, noDigit), s) })
}
