package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/cgroup"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

// viewer is the user as whom the doctor looks.
type viewer struct {
	uid  int
	name string
	caps map[uint]bool // of those that matter here
}

// capabilities are those that matter here.
func capabilities() []struct {
	bit  uint
	name string
} {
	return []struct {
		bit  uint
		name string
	}{{unix.CAP_SYS_PTRACE, "CAP_SYS_PTRACE"}, {unix.CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"}, {unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}}
}

func whoAmI() viewer {
	w := viewer{uid: os.Geteuid(), caps: make(map[uint]bool)}
	w.name = userName(w.uid)
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return w
	}
	for _, c := range capabilities() {
		w.caps[c.bit] = data[c.bit/32].Effective&(1<<(c.bit%32)) != 0
	}
	return w
}

// userName is the name of a user, or the number where it has none.
func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}

func (w viewer) String() string {
	var with, without []string
	for _, c := range capabilities() {
		if w.caps[c.bit] {
			with = append(with, c.name)
		} else {
			without = append(without, c.name)
		}
	}
	s := fmt.Sprintf("looks as %s (uid %d)", w.name, w.uid)
	if len(with) > 0 {
		s += ", with " + strings.Join(with, ", ")
	}
	if len(without) > 0 {
		s += ", without " + strings.Join(without, ", ")
	}
	return s
}

// exporter examines what does not belong to one collector.
func (d *doctor) exporter(ctx context.Context) {
	d.fact("exporter", "%s", d.who)
	if d.who.uid == 0 {
		d.fact("exporter", "a service that runs as another user may see less: look as that one, with setpriv --reuid=USER --regid=GROUP --init-groups")
	}
	d.secretFiles()
	d.listenAddresses(ctx)
}

// secretFiles looks who may read what holds a password.
func (d *doctor) secretFiles() {
	inline := false
	for _, m := range d.cfg.MySQL {
		inline = inline || m.Way().Password
	}
	for _, r := range d.cfg.Redis {
		inline = inline || r.Way().Password
	}
	files := secretsOf(&d.cfg)
	for _, file := range files {
		d.token(file)
	}
	for _, note := range config.FileNotes(d.o.ConfigFile) {
		d.add("exporter", Finding{
			Reason: collectors.OK, Detail: "the configuration file is not safe: " + note, Cure: []string{"chown root " + d.o.ConfigFile + "; chmod go-w " + d.o.ConfigFile},
		})
	}
	if inline && d.o.ConfigFile != "" {
		files = append(files, d.o.ConfigFile)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm()&0o027 == 0 {
			continue
		}
		what := "every user may read it"
		if info.Mode().Perm()&0o004 == 0 {
			what = "others may change it"
		}
		d.add("exporter", Finding{
			Reason: collectors.OK, Detail: fmt.Sprintf("%s holds a password, and %s (mode %04o)", file, what, info.Mode().Perm()),
			Cure: []string{"chmod o-rwx,g-w " + file},
		})
	}
	slices.SortFunc(d.section("exporter").Findings, func(a, b Finding) int { return cmp.Compare(a.Detail, b.Detail) })
}

// token examines a file of a token; those of passwords show at their servers.
func (d *doctor) token(file string) {
	for _, m := range d.cfg.MySQL {
		if m.PasswordFile == file {
			return
		}
	}
	for _, r := range d.cfg.Redis {
		if r.PasswordFile == file {
			return
		}
	}
	if _, err := safefile.ReadSecret(file); err != nil {
		reason := collectors.Failed
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, safefile.ErrMode) || errors.Is(err, safefile.ErrOwner) || errors.Is(err, safefile.ErrLink) {
			reason = collectors.Permission
		} else if errors.Is(err, fs.ErrNotExist) {
			reason = collectors.NotFound
		}
		d.add("exporter", Finding{
			Reason: reason, Fault: true, Detail: "token_file " + file + " cannot be used: " + safefile.Why(err), Cure: []string{safefile.Cure},
		})
	}
}

// listenAddresses tries where the page and the metrics would be served.
func (d *doctor) listenAddresses(ctx context.Context) {
	if d.o.Web == nil || d.o.Web.WebListenAddresses == nil || d.o.Web.WebSystemdSocket != nil && *d.o.Web.WebSystemdSocket {
		return
	}
	for _, address := range *d.o.Web.WebListenAddresses {
		if strings.Contains(address, "://") { // such as vsock
			continue
		}
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err == nil {
			_ = l.Close()
			continue
		}
		f := Finding{Reason: collectors.Failed, Detail: fmt.Sprintf("%s cannot be listened at: %v", address, err), Cure: []string{"--web.listen-address=:9869"}, Fault: true}
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			f.Reason, f.Detail = collectors.InUse, address+" is taken by another program, so that nothing can be served there"
			if d.oursAlready("exporter", "tcp://"+address, &f) {
				continue
			}
		case errors.Is(err, fs.ErrPermission):
			f.Reason = collectors.Permission
			f.Cure = append(f.Cure, "in the unit: AmbientCapabilities=CAP_NET_BIND_SERVICE")
		}
		d.add("exporter", f)
	}
}

// oursAlready reports whether an address is in use by an exporter that runs,
// which is as it should be. Else it names who has it, where that can be told.
func (d *doctor) oursAlready(section, listen string, f *Finding) bool {
	h := holderOf(d.o.ProcRoot, listen)
	shown := strings.TrimPrefix(listen, "tcp://")
	switch {
	case h.pid == 0:
		return false
	case h.pid == 1 && h.name == "systemd" && section == "statsd":
		d.fact(section, "%s is held by process 1 (%s), which hands it to the exporter when that starts", shown, h.name)
		return true
	case h.name == exporterName && h.sure:
		d.fact(section, "%s is in use by resp-exporter (pid %d)", shown, h.pid)
		return true
	case h.name == exporterName:
		d.fact(section, "%s is in use, it seems by resp-exporter, which runs (pid %d)", shown, h.pid)
		return true
	}
	f.Detail = strings.Replace(f.Detail, "another program", fmt.Sprintf("%s (pid %d)", h.name, h.pid), 1)
	return false
}

// processes examines whether the apps are found, and what of them is seen.
func (d *doctor) processes() {
	found := 0
	groups := &cgroup.FS{ProcRoot: d.o.ProcRoot, SysRoot: d.o.SysRoot}
	for i := range d.apps {
		a := &d.apps[i]
		if !a.Up {
			continue
		}
		found++
		owner := "a user who cannot be told"
		if uid, ok := d.ownerOf(a); ok {
			owner = fmt.Sprintf("%s (uid %d)", userName(uid), uid)
		}
		d.fact("process", "%s is %s: %d processes of %s", a.Name, a.Server, len(a.Processes), owner)
		d.group(groups, a)
	}
	for _, app := range d.cfg.Apps {
		d.notFound(app)
	}
	if len(d.cfg.Apps) == 0 && found == 0 {
		d.add("process", Finding{
			Reason: collectors.NotFound, Detail: "no app is found: gunicorn, uWSGI, uvicorn, hypercorn, waitress, granian, flask run or a Python script, that listens on a socket; another one has to be named",
			Cure: []string{`in the configuration: apps: [{name: shop, match: {listen: ":8000"}}]`},
		})
	}
	d.hidden()
}

// notFound is about an app of the configuration that does not run, or cannot
// be seen to.
func (d *doctor) notFound(app config.App) {
	if slices.ContainsFunc(d.apps, func(a discovery.App) bool { return a.Name == app.Name && a.Up }) {
		return
	}
	f := Finding{
		Of: "app:" + app.Name, Reason: collectors.NotFound, Fault: true,
		Detail: "no process is found of " + app.Name + ": it does not run, or its match does not fit (" + strings.Join(conditions(app.Match), ", ") + ")",
		Cure:   []string{"ps -eo pid,user,args: is it there, and does every part of match hold?"},
	}
	if app.Match.Listen != "" && !d.who.caps[unix.CAP_SYS_PTRACE] {
		f.Detail += "; who listens is seen of other users' processes with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH only"
		f.Cure = append(f.Cure, collectors.CureProcesses)
	}
	d.add("process", f)
}

// conditions are the parts of a match in words.
func conditions(m config.Match) []string {
	var out []string
	for _, c := range [][2]string{{"cmdline", m.Cmdline}, {"pid_file", m.PIDFile}, {"listen", m.Listen}, {"systemd_unit", m.SystemdUnit}, {"cgroup", m.Cgroup}, {"user", m.User}} {
		if c[1] != "" {
			out = append(out, c[0]+" "+c[1])
		}
	}
	return out
}

// group tells that the limits of an app cannot be read.
func (d *doctor) group(groups *cgroup.FS, a *discovery.App) {
	place, err := groups.Of(a.PID)
	if err == nil {
		_, err = groups.Read(place)
	}
	if err == nil {
		return
	}
	reason := collectors.Unsupported
	if errors.Is(err, fs.ErrPermission) {
		reason = collectors.Permission
	}
	d.add("process", Finding{
		Of: "app:" + a.Name, Reason: reason, Detail: fmt.Sprintf("the control group of %s cannot be read, so that the host's limits count as its own (%v)", a.Name, err),
		Cure: []string{"in a container: the host's /sys mounted read-only, and --path.sysfs with that path"},
	})
}

// hidden reports whether procfs shows the processes of others at all.
func (d *doctor) hidden() {
	self, err := procfs.NewFS("/proc")
	if err != nil {
		return
	}
	mounts, err := self.GetMounts()
	if err != nil {
		return
	}
	for _, m := range mounts {
		if m.FSType != "proc" || m.MountPoint != d.o.ProcRoot || d.who.caps[unix.CAP_SYS_PTRACE] {
			continue
		}
		how := m.SuperOptions["hidepid"]
		if how == "" || how == "0" || how == "off" {
			continue
		}
		f := Finding{
			Reason: collectors.Permission, Detail: d.o.ProcRoot + " does not show the processes of other users (hidepid=" + how + ")", Fault: len(d.cfg.Apps) > 0,
			Cure: []string{collectors.CureProcesses, "in the unit: ProtectProc=default", "mount -o remount,hidepid=0 " + d.o.ProcRoot},
		}
		if gid := m.SuperOptions["gid"]; gid != "" && gid != "0" {
			f.Cure = append(f.Cure, "in the unit: SupplementaryGroups="+groupName(gid))
		}
		d.add("process", f)
	}
}

func groupName(gid string) string {
	if g, err := user.LookupGroupId(gid); err == nil {
		return g.Name
	}
	return gid
}

// ownerOf is the user of an app's oldest process.
func (d *doctor) ownerOf(a *discovery.App) (uid int, ok bool) {
	root, err := procfs.NewFS(d.o.ProcRoot)
	if err != nil {
		return 0, false
	}
	p, err := root.Proc(a.PID)
	if err != nil {
		return 0, false
	}
	st, err := p.NewStatus()
	return int(st.UIDs[1]), err == nil //nolint:gosec // the kernel has uids of 32 bits
}
