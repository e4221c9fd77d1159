package doctor

import (
	"errors"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/cleandisk"
	"github.com/resp-exporter/resp-exporter/internal/heal/importcheck"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/procid"
)

// hostRights adds what healing cannot do on this host of what its steps name. A plan
// needs no right to act, so what is missing is a fault only in mode enforce.
func (d *doctor) hostRights() {
	if d.Config.Healing.Mode == config.HealOff {
		return
	}
	for _, s := range stepsOf(d.Config.Healing) {
		switch {
		case s.Scale != nil:
			d.scaleRights(s.Scale)
		case s.Recycle != nil:
			d.recycleRights(s.Recycle)
		case s.CleanDisk != nil:
			for _, lack := range cleandisk.New(cleandisk.Deps{ProcRoot: d.Flags.ProcRoot, RootFS: d.Flags.RootFS, StateDir: d.Flags.StateDir}, *s.CleanDisk).Lacks() {
				d.lacksRight("heal", lackReason(lack.Code), "clean_disk: "+lack.Reason, cleanRemedy(lack.Code))
			}
		}
	}
}

// scaleRights adds a finding for each app to whose master of gunicorn no signal may be
// sent, and for an app of the step that no signal helps.
func (d *doctor) scaleRights(s *config.Scale) {
	for i := range d.apps {
		a := &d.apps[i]
		switch {
		case !a.Up || s.App != "" && s.App != a.Name:
		case a.Server != cmdline.Gunicorn && s.App != "":
			d.add("heal", Finding{
				Of: "app:" + a.Name, Reason: collectors.Unsupported, Detail: "scale_workers: " + a.Name + " is not served by gunicorn, so the step ends as unavailable",
			})
		case a.Server == cmdline.Gunicorn && !d.maySignal(a.PID, int(a.UID)):
			d.lacksRight("app:"+a.Name, collectors.Permission, "scale_workers: the exporter may not signal the processes of "+a.Name,
				"run the exporter as "+userName(int(a.UID))+", or add CAP_KILL to AmbientCapabilities= and CapabilityBoundingSet= of its unit")
		}
	}
}

// recycleRights adds a finding for each app whose workers recycle_worker may not signal, or
// whose code it could not import first, and for an app of the step that has no such workers.
func (d *doctor) recycleRights(s *config.Recycle) {
	for i := range d.apps {
		a := &d.apps[i]
		recyclable := a.Server == cmdline.Gunicorn || a.Server == cmdline.UWSGI
		beyond := d.beyondSignals(a)
		switch {
		case !a.Up || s.App != "" && s.App != a.Name:
		case !recyclable && s.App != "":
			d.add("heal", Finding{
				Of: "app:" + a.Name, Reason: collectors.Unsupported, Detail: "recycle_worker: " + a.Name + " is served neither by gunicorn nor by uWSGI, so the step is refused",
			})
		case !recyclable:
		case beyond != nil:
			d.lacksRight("app:"+a.Name, collectors.Permission, "recycle_worker: the exporter may not signal the workers of "+a.Name,
				"run the exporter as "+userName(*beyond)+", or add CAP_KILL to AmbientCapabilities= and CapabilityBoundingSet= of its unit")
		default:
			if why := d.importRefusal(s, a); why != "" {
				d.lacksRight("app:"+a.Name, collectors.Permission, "recycle_worker of "+a.Name+" would be refused: "+why, "")
			}
		}
	}
}

// importRefusal returns why the code of an app could not be imported before a worker is
// recycled; "" if it could, need not be, there is no worker now, or the processes cannot be
// read. Nothing is run.
func (d *doctor) importRefusal(s *config.Recycle, a *discovery.App) string {
	if len(a.Workers) == 0 {
		return ""
	}
	master, err := procid.Identify(d.Flags.ProcRoot, a.PID)
	if err != nil {
		return ""
	}
	worker, err := procid.Identify(d.Flags.ProcRoot, a.Workers[0].PID)
	if err != nil {
		return ""
	}
	_, refused, err := importcheck.Checker{Root: d.Flags.ProcRoot, Argv: s.ImportCheck, Server: a.Server, Master: master, Worker: worker}.Needed()
	if err != nil {
		return ""
	}
	return refused.Reason
}

// beyondSignals returns the user id of a worker of an app that this process may not signal;
// nil if there is none. While the app has no workers, those that it will have count: of the
// master's user, unless that is root, who may start them as any.
func (d *doctor) beyondSignals(a *discovery.App) *int {
	if owner := int(a.UID); len(a.Workers) == 0 && owner != 0 && !d.maySignal(a.PID, owner) {
		return &owner
	}
	for _, w := range a.Workers {
		if user := d.realUser(w.PID, int(a.UID)); !d.maySignal(w.PID, user) {
			return &user
		}
	}
	return nil
}

// realUser returns the real user id of a process; that of the app's owner if it cannot be
// read.
func (d *doctor) realUser(pid, owner int) int {
	if fs, err := procfs.NewFS(d.Flags.ProcRoot); err == nil {
		if p, err := fs.Proc(pid); err == nil {
			if st, err := p.NewStatus(); err == nil {
				return int(st.UIDs[0]) //nolint:gosec // the kernel's have 32 bits
			}
		}
	}
	return owner
}

// maySignal reports whether this process may signal one with that real user id, by what the
// kernel says. If that is not known (the process has ended, another PID namespace): whether that is
// this process's user, or this process has CAP_KILL.
func (d *doctor) maySignal(pid, user int) bool {
	if id, err := procid.Identify(d.Flags.ProcRoot, pid); err == nil {
		if g, err := process.Open(d.Flags.ProcRoot, id); err == nil {
			defer g.Close()
			if err := g.MaySignal(); err == nil || errors.Is(err, unix.EPERM) {
				return err == nil
			}
		}
	}
	return d.who.uid == user || hasCapability(unix.CAP_KILL)
}

// lacksRight adds the finding that healing lacks something. It is a fault only in the mode
// enforce.
func (d *doctor) lacksRight(of string, reason collectors.Reason, detail, remedy string) {
	d.lacks(false, of, reason, detail, remedy)
}

// lacks adds what a step of healing lacks as [doctor.lacksRight] does; as a note if it only
// perhaps needs it.
func (d *doctor) lacks(perhaps bool, of string, reason collectors.Reason, detail, remedy string) {
	f := Finding{Of: of, Reason: reason, Fault: !perhaps && d.Config.Healing.Mode == config.HealEnforce, Detail: detail}
	if remedy != "" {
		f.Remedy = []string{remedy}
	}
	d.add("heal", f)
}

// lackReason returns the reason of a refusal with that code: permission unless the code
// says another.
func lackReason(code action.Code) collectors.Reason {
	switch code {
	case action.CodeNoDirectory, action.CodeSettingUnknown:
		return collectors.NotFound
	case action.CodeFileSystem, action.CodeDirectoryDenied:
		return collectors.Unsupported
	default:
		return collectors.Permission
	}
}

// cleanRemedy returns what makes the directory of clean_disk usable; "" if no command
// does.
func cleanRemedy(code action.Code) string {
	switch code {
	case action.CodeDirectoryUntrusted:
		return "chmod go-w on the directories of its path, or owner: USER in the step, if the directory belongs to that user"
	case action.CodeNotPermitted:
		return "run the exporter as the owner of the files and of the directory, or as root; ReadWritePaths= in its unit if ProtectSystem= is set"
	default:
		return ""
	}
}

// hasCapability reports whether this process has a capability; false also if that cannot be
// read.
func hasCapability(bit uint) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	return data[bit/32].Effective&(1<<(bit%32)) != 0
}
