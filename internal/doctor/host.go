package doctor

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
	"github.com/resp-exporter/resp-exporter/internal/doctor/holder"
	"github.com/resp-exporter/resp-exporter/internal/secret"
)

// effectiveUser is the user of this process, with its capabilities.
type effectiveUser struct {
	uid  int
	name string
	caps map[uint]bool // of those that matter here
}

// capabilities returns the capabilities that help the exporter to read processes, with
// their names.
func capabilities() []struct {
	bit  uint
	name string
} {
	return []struct {
		bit  uint
		name string
	}{{unix.CAP_SYS_PTRACE, "CAP_SYS_PTRACE"}, {unix.CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"}, {unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}}
}

// currentUser returns the effective user of this process and which of [capabilities] it
// has, none if they cannot be read.
func currentUser() effectiveUser {
	w := effectiveUser{uid: os.Geteuid(), caps: make(map[uint]bool)}
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

// userName returns the name of a user, or the number as text if it has none.
func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}

func (w effectiveUser) String() string {
	var with, without []string
	for _, c := range capabilities() {
		if w.caps[c.bit] {
			with = append(with, c.name)
		} else {
			without = append(without, c.name)
		}
	}
	s := fmt.Sprintf("runs as %s (uid %d)", w.name, w.uid)
	if len(with) > 0 {
		s += ", with " + strings.Join(with, ", ")
	}
	if len(without) > 0 {
		s += ", without " + strings.Join(without, ", ")
	}
	return s
}

// exporter adds what belongs to no collector: who runs it, the secret files, the
// addresses to listen on.
func (d *doctor) exporter(ctx context.Context) {
	d.fact("exporter", "%s", d.who)
	if d.who.uid == 0 {
		d.fact("exporter", "the exporter may run as another user that can see less: run doctor as that user, with setpriv --reuid=USER --regid=GROUP --init-groups")
	}
	d.secretFiles()
	d.listenAddresses(ctx)
}

// secretFiles adds a finding for each file with a password or a token that others may
// read or change.
func (d *doctor) secretFiles() {
	inline := false
	for _, m := range d.Config.MySQL {
		inline = inline || m.Transport().Password
	}
	for _, r := range d.Config.Redis {
		inline = inline || r.Transport().Password
	}
	files := d.Config.SecretFiles()
	for _, file := range files {
		d.token(file)
	}
	for _, note := range config.FileNotes(d.Flags.ConfigFile) {
		d.add("exporter", Finding{
			Reason: collectors.OK, Detail: "the configuration file is not safe: " + note, Remedy: []string{"chown root " + d.Flags.ConfigFile + "; chmod go-w " + d.Flags.ConfigFile},
		})
	}
	if inline && d.Flags.ConfigFile != "" {
		files = append(files, d.Flags.ConfigFile)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm()&0o027 == 0 {
			continue
		}
		what := "every user can read it"
		if info.Mode().Perm()&0o004 == 0 {
			what = "others can change it"
		}
		d.add("exporter", Finding{
			Reason: collectors.OK, Detail: fmt.Sprintf("%s contains a password, and %s (mode %04o)", file, what, info.Mode().Perm()),
			Remedy: []string{"chmod o-rwx,g-w " + file},
		})
	}
	slices.SortFunc(d.section("exporter").Findings, func(a, b Finding) int { return cmp.Compare(a.Detail, b.Detail) })
}

// token adds a finding if the file of a token cannot be read or used. A file of a
// password is skipped: it is examined with its server.
func (d *doctor) token(file string) {
	for _, m := range d.Config.MySQL {
		if m.PasswordFile == file {
			return
		}
	}
	for _, r := range d.Config.Redis {
		if r.PasswordFile == file {
			return
		}
	}
	_, err := secret.Read(file)
	if e, ok := errors.AsType[*secret.Error](err); ok {
		f := Finding{Reason: e.Reason(), Fault: true, Detail: "token_file " + file + " cannot be read: " + e.Why()}
		if remedy := e.Remedy(); remedy != "" {
			f.Remedy = []string{secret.RemedyWithPath(remedy, file)}
		} else {
			f.Remedy = d.files("", file)
		}
		d.add("exporter", f)
	}
}

// listenAddresses listens for a moment where the page and the metrics would be served,
// and adds a finding for each address that fails.
func (d *doctor) listenAddresses(ctx context.Context) {
	if d.Flags.SystemdSocket {
		return
	}
	for _, address := range d.Flags.Listen {
		if strings.Contains(address, "://") { // such as vsock
			continue
		}
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err == nil {
			_ = l.Close()
			continue
		}
		f := Finding{Reason: collectors.Failed, Detail: fmt.Sprintf("cannot listen on %s: %v", address, err), Remedy: []string{"--web.listen-address=:9869"}, Fault: true}
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			f.Reason, f.Detail = collectors.InUse, address+" is in use by another program, so the exporter cannot listen there"
			if d.heldByExporter("exporter", "tcp://"+address, &f) {
				continue
			}
		case errors.Is(err, fs.ErrPermission):
			f.Reason = collectors.Permission
			f.Remedy = append(f.Remedy, "in the unit: AmbientCapabilities=CAP_NET_BIND_SERVICE")
		}
		d.add("exporter", f)
	}
}

// heldByExporter reports whether a running exporter, or for a StatsD address systemd, holds
// an address, surely or probably, which is no fault: it adds that as a fact. Otherwise it
// adds to the finding which process holds the address, if it is known.
func (d *doctor) heldByExporter(section, listen string, f *Finding) bool {
	h := holder.Of(d.Flags.ProcRoot, listen)
	shown := strings.TrimPrefix(listen, "tcp://")
	switch {
	case h.PID == 0:
		return false
	case h.PID == 1 && h.Name == "systemd" && section == "statsd":
		d.fact(section, "%s is held by process 1 (%s), which passes it to the exporter at its start", shown, h.Name)
		return true
	case h.Name == holder.Exporter && h.Sure:
		d.fact(section, "%s is in use by resp-exporter (pid %d)", shown, h.PID)
		return true
	case h.Name == holder.Exporter:
		d.fact(section, "%s is in use, probably by the running resp-exporter (pid %d)", shown, h.PID)
		return true
	}
	f.Detail = strings.Replace(f.Detail, "another program", fmt.Sprintf("%s (pid %d)", h.Name, h.PID), 1)
	return false
}

// processes adds whether the apps are found, and what of them cannot be read.
func (d *doctor) processes() {
	found := 0
	groups := &cgroup.FS{ProcRoot: d.Flags.ProcRoot, SysRoot: d.Flags.SysRoot}
	for i := range d.apps {
		a := &d.apps[i]
		if !a.Up {
			continue
		}
		found++
		owner := "an unknown user"
		if uid, ok := d.ownerOf(a); ok {
			owner = fmt.Sprintf("%s (uid %d)", userName(uid), uid)
		}
		d.fact("process", "%s is %s: %d processes, user %s", a.Name, a.Server, len(a.Processes), owner)
		d.group(groups, a)
	}
	for _, app := range d.Config.Apps {
		d.notFound(app)
	}
	if len(d.Config.Apps) == 0 && found == 0 {
		d.add("process", Finding{
			Reason: collectors.NotFound, Detail: "no app found: gunicorn, uWSGI, uvicorn, hypercorn, waitress, granian, flask run and Python scripts are found if they listen on a socket; other apps must be configured",
			Remedy: []string{`in the configuration: apps: [{name: shop, match: {listen: ":8000"}}]`},
		})
	}
	d.hidden()
}

// notFound adds a finding for a configured app if it does not run or cannot be seen.
func (d *doctor) notFound(app config.App) {
	if slices.ContainsFunc(d.apps, func(a discovery.App) bool { return a.Name == app.Name && a.Up }) {
		return
	}
	f := Finding{
		Of: "app:" + app.Name, Reason: collectors.NotFound, Fault: true,
		Detail: "no process found for " + app.Name + ": it does not run, or its match is wrong (" + strings.Join(conditions(app.Match), ", ") + ")",
		Remedy: []string{"ps -eo pid,user,args: check that it runs and that every part of match is true"},
	}
	if app.Match.Listen != "" && !d.who.caps[unix.CAP_SYS_PTRACE] {
		f.Detail += "; to see the sockets of other users' processes, the exporter needs CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"
		f.Remedy = append(f.Remedy, collectors.RemedyProcesses)
	}
	d.add("process", f)
}

// conditions returns the conditions that a match has, as text: "cmdline …", "listen …".
func conditions(m config.Match) []string {
	var out []string
	for _, c := range [][2]string{{"cmdline", m.Cmdline}, {"pid_file", m.PIDFile}, {"listen", m.Listen}, {"systemd_unit", m.SystemdUnit}, {"cgroup", m.Cgroup}, {"user", m.User}} {
		if c[1] != "" {
			out = append(out, c[0]+" "+c[1])
		}
	}
	return out
}

// group adds a finding if the limits of an app's control group cannot be read.
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
		Of: "app:" + a.Name, Reason: reason, Detail: fmt.Sprintf("the control group of %s cannot be read, so the limits of the host are used (%v)", a.Name, err),
		Remedy: []string{"in a container: mount the host's /sys read-only, and set --path.sysfs to that path"},
	})
}

// hidden adds a finding if procfs hides the processes of other users.
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
		if m.FSType != "proc" || m.MountPoint != d.Flags.ProcRoot || d.who.caps[unix.CAP_SYS_PTRACE] {
			continue
		}
		how := m.SuperOptions["hidepid"]
		if how == "" || how == "0" || how == "off" {
			continue
		}
		f := Finding{
			Reason: collectors.Permission, Detail: d.Flags.ProcRoot + " does not show the processes of other users (hidepid=" + how + ")", Fault: len(d.Config.Apps) > 0,
			Remedy: []string{collectors.RemedyProcesses, "in the unit: ProtectProc=default", "mount -o remount,hidepid=0 " + d.Flags.ProcRoot},
		}
		if gid := m.SuperOptions["gid"]; gid != "" && gid != "0" {
			f.Remedy = append(f.Remedy, "in the unit: SupplementaryGroups="+groupName(gid))
		}
		d.add("process", f)
	}
}

// ownerOf returns the effective user id of an app's oldest process; false if it cannot be
// read.
func (d *doctor) ownerOf(a *discovery.App) (uid int, ok bool) {
	root, err := procfs.NewFS(d.Flags.ProcRoot)
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
