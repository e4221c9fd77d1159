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
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery/appname"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/safefile"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

const (
	maxSettings     = 64 << 10               // bytes of a file of settings that is read
	settingsTimeout = 500 * time.Millisecond // how long one is waited for
	settingsCost    = 64                     // in descriptors, see table.CostLink
	maxSettingFiles = 4                      // of one process
)

// fileReader reads files of settings, one at a time. A file system that hangs
// delays one scan for settingsTimeout, and no file is read until it answers.
type fileReader struct{ free chan struct{} }

// newFileReader returns a fileReader.
func newFileReader() *fileReader {
	s := &fileReader{free: make(chan struct{}, 1)}
	s.free <- struct{}{}
	return s
}

// read returns the content of a regular file that root, the exporter's user or
// owner owns; "" if it cannot be read in time.
func (s *fileReader) read(name string, owner procfs.Account) string {
	select {
	case <-s.free:
	default:
		return ""
	}
	done := make(chan string, 1)
	go func() {
		b, err := safefile.Read(name, safefile.Policy{MaxBytes: maxSettings, Owners: []uint32{uint32(owner)}})
		if err != nil {
			b = nil
		}
		s.free <- struct{}{} // before the result, so that the next read finds it
		done <- string(b)
	}()
	late := time.NewTimer(settingsTimeout)
	defer late.Stop()
	select {
	case text := <-done:
		return text
	case <-late.C:
		return ""
	}
}

// Namer finds the names of apps by their root process.
type Namer struct {
	fs       *procfs.FS
	table    *table.Table
	settings *fileReader
}

// NewNamer returns a Namer that reads by r, within the budgets of t.
func NewNamer(r *procfs.FS, t *table.Table) *Namer {
	return &Namer{fs: r, table: t, settings: newFileReader()}
}

// settingsFile returns the content of a file that the settings of a process name,
// relative to its working directory; "" unless the process sees the same files as
// the exporter.
func (n *Namer) settingsFile(p *table.Process, name string) string {
	if name == "" || strings.Contains(name, "://") || strings.ContainsAny(name, "\x00\n") || len(name) > unix.PathMax {
		return ""
	}
	if same, err := n.fs.SameFiles(p.PID); err != nil || !same {
		return ""
	}
	if !path.IsAbs(name) {
		dir, err := n.fs.Readlink(p.PID, "cwd")
		if err != nil || !path.IsAbs(dir) || strings.HasSuffix(dir, " (deleted)") {
			return ""
		}
		name = path.Join(dir, name)
	}
	return n.settings.read(name, n.table.Owner(p).Account)
}

// inDirectory returns the first of the names that is in the working directory of
// a process; "" for none. No file is read.
func (n *Namer) inDirectory(p *table.Process, names ...string) string {
	for _, name := range names {
		var st unix.Stat_t
		if unix.Fstatat(unix.AT_FDCWD, n.fs.Path(p.PID, "cwd")+"/"+name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
			return name
		}
	}
	return ""
}

// BaseName returns the name of the app whose root a process is: by the title, the
// command line, the settings that the server reads beside it, the systemd unit,
// or the script. It is found once a process.
func (n *Namer) BaseName(p *table.Process) string {
	if p.Names().Known {
		return p.Names().Base
	}
	name := p.Program.Name
	if n.table.Budget.TrySpend(n.table.Owner(p).Account, table.CostLink, settingsCost) {
		name = cmp.Or(n.settingsName(p), name)
		p.Names().Known = true
	}
	p.Names().Base = text.Name(cmp.Or(name, appname.StableUnit(p.Unit), p.Program.Script, "app"))
	return p.Names().Base
}

// settingsName returns the name by the settings beside title and command line; ""
// for none.
func (n *Namer) settingsName(p *table.Process) string {
	server := p.Program.Server
	switch {
	case server == cmdline.Gunicorn:
		return n.gunicornName(p)
	case p.Program.Name != "":
	case server == cmdline.UWSGI:
		return n.uwsgiSettings(p)
	case server == cmdline.Uvicorn:
		return cmdline.ModuleName(n.fs.Getenv(p.PID, "UVICORN_APP"))
	case server == cmdline.Flask:
		return strings.TrimSuffix(n.inDirectory(p, "wsgi.py", "app.py"), ".py")
	}
	return ""
}

// gunicornName returns gunicorn's proc_name, else the module of its application:
// by the command line, then GUNICORN_CMD_ARGS, then the configuration file.
func (n *Namer) gunicornName(p *table.Process) string {
	if p.Program.Title && p.Program.Name != "" {
		if module, ok := cmdline.ApplicationModule(p.Program.Name); ok && n.inDirectory(p, module+".py", module) != "" {
			return module
		}
		return p.Program.Name
	}
	args := p.Argv
	if p.Program.Title {
		args = nil
	}
	if name := cmdline.Option(args, "-n", "--name"); name != "" {
		return name
	}
	more, _ := cmdline.ParseWords(n.fs.Getenv(p.PID, "GUNICORN_CMD_ARGS"))
	if name := cmdline.Option(more, "-n", "--name"); name != "" {
		return name
	}
	file := cmp.Or(cmdline.Option(args, "-c", "--config"), cmdline.Option(more, "-c", "--config"), "gunicorn.conf.py")
	if strings.HasPrefix(file, "python:") {
		return p.Program.Name
	}
	conf := cmdline.ParsePython(n.settingsFile(p, strings.TrimPrefix(file, "file:")), "proc_name", "wsgi_app")
	return cmp.Or(conf["proc_name"], p.Program.Name, cmdline.ModuleName(conf["wsgi_app"]))
}

// uwsgiSettings returns the application that UWSGI_ variables or configuration
// files name, the last file first; "" for none.
func (n *Namer) uwsgiSettings(p *table.Process) string {
	variable := func(name string) string {
		return n.fs.Getenv(p.PID, "UWSGI_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_")))
	}
	if name := cmdline.UWSGIModule(variable); name != "" {
		return name
	}
	files := cmdline.UWSGIFiles(p.Argv[min(1, len(p.Argv)):])
	if v := variable("ini"); v != "" {
		files = append(files, v)
		if s := cmdline.Stem(cmdline.WithoutSection(v)); !cmdline.GenericStem(s) {
			return s
		}
	}
	slices.Reverse(files)
	for _, f := range files[:min(len(files), maxSettingFiles)] {
		file := cmdline.WithoutSection(f)
		if path.Ext(file) != ".ini" {
			continue
		}
		section := strings.TrimPrefix(strings.TrimPrefix(f, file), ":")
		values := cmdline.ParseINI(n.settingsFile(p, file), section, cmdline.Stem(file))
		if name := cmdline.UWSGIModule(func(name string) string { return values[name] }); name != "" {
			return name
		}
	}
	return ""
}

// HostTemplate returns the template of the host name of a process in a UTS
// namespace other than the exporter's, as of a container, see
// [appname.HostTemplate]; "" for the host's own. It is found once a process.
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

// StableBind returns where a process listens, as the smallest label of its
// listeners; "" for a port that the kernel may have assigned: one of a script
// that its command line does not name.
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
	return slices.ContainsFunc(argv, func(a string) bool {
		i := strings.Index(a, s)
		return i >= 0 && (i+len(s) == len(a) || a[i+len(s)] < '0' || a[i+len(s)] > '9') && (i == 0 || a[i-1] < '0' || a[i-1] > '9')
	})
}
