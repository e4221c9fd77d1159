package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/prometheus/procfs"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
)

// ptraceLimits is what keeps a user from reading processes of its own uid.
type ptraceLimits struct {
	yama   int  // kernel.yama.ptrace_scope; 0 where this kernel has no Yama
	opaque bool // the process is not dumpable: its files in procfs belong to root
}

// ptraceLimitsOf returns what keeps a user from reading its own process: the setting of
// Yama and, for users other than root, whether the process is not dumpable. What cannot be
// read counts as no limit.
func ptraceLimitsOf(procRoot string, pid, uid int) ptraceLimits {
	var b ptraceLimits
	if text, err := os.ReadFile(filepath.Join(procRoot, "sys/kernel/yama/ptrace_scope")); err == nil {
		b.yama, _ = strconv.Atoi(strings.TrimSpace(string(text)))
	}
	info, err := os.Stat(filepath.Join(procRoot, strconv.Itoa(pid), "environ"))
	if err != nil || uid == 0 {
		return b
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	b.opaque = ok && st.Uid == 0
	return b
}

// sameUser reports whether the uid of the processes is enough for a collector:
// Yama restricts system calls and memory, and nothing else.
func (b ptraceLimits) sameUser(collector string) bool {
	return !b.opaque && (b.yama == 0 || !traces(collector))
}

// traces reports whether a collector reads system calls or memory of processes.
func traces(collector string) bool { return collector == "workers" || collector == "waits" }

// explain returns the end of a sentence on what the uid does not allow, with "; " before
// it; "" if it allows all.
func (b ptraceLimits) explain(collector string) string {
	switch {
	case b.opaque:
		return "; its processes are not dumpable, for example because of gunicorn --user, so their own uid cannot read them"
	case b.yama > 0 && traces(collector):
		return fmt.Sprintf("; kernel.yama.ptrace_scope is %d, so their own uid is not enough", b.yama)
	}
	return ""
}

// addAppRemedies adds to a finding what else allows to read an app: its user, or
// capabilities of the binary or of the container. Network namespaces need one more
// capability, and no uid replaces it.
func (d *doctor) addAppRemedies(collector, app string, f *Finding) {
	names := []string{"sys_ptrace", "dac_read_search"}
	spaces := strings.Contains(strings.Join(f.Remedy, " "), "CAP_SYS_ADMIN")
	if spaces {
		names = append(names, "sys_admin")
	}
	at := d.appOf(app)
	if at != nil && !spaces {
		b, uid, one := d.ptraceLimitsOfApp(at)
		f.Detail += b.explain(collector)
		if one && uid != 0 && uid != d.who.uid && b.sameUser(collector) {
			f.Remedy = append(f.Remedy, "in the unit: User="+userName(uid))
		}
		if b.yama == 3 && traces(collector) { // then no capability serves, and only a boot sets it back
			f.Remedy = []string{"echo kernel.yama.ptrace_scope=1 > /etc/sysctl.d/99-resp-exporter.conf && reboot"}
			return
		}
	}
	if binary, err := os.Executable(); err == nil && d.who.uid != 0 {
		f.Remedy = append(f.Remedy, "as root: setcap cap_"+strings.Join(names, ",cap_")+"=ep "+shellLine([]string{binary}))
	}
	if d.who.uid == 0 {
		f.Remedy = append(f.Remedy, "in a container: cap_add: ["+strings.ToUpper(strings.Join(names, ", "))+"]")
	}
}

// ptraceLimitsOfApp returns the limits of an app's processes and their uid; one is false
// if they are of several users, or none can be read.
func (d *doctor) ptraceLimitsOfApp(a *discovery.App) (b ptraceLimits, uid int, one bool) {
	root, err := procfs.NewFS(d.Flags.ProcRoot)
	if err != nil {
		return b, 0, false
	}
	uids := make(map[int]bool)
	for _, p := range a.Processes {
		x, err := root.Proc(p.PID)
		if err != nil {
			continue
		}
		st, err := x.NewStatus()
		if err != nil {
			continue
		}
		uid = int(st.UIDs[1]) //nolint:gosec // the kernel has uids of 32 bits
		uids[uid] = true
		of := ptraceLimitsOf(d.Flags.ProcRoot, p.PID, uid)
		b.yama, b.opaque = of.yama, b.opaque || of.opaque
	}
	return b, uid, len(uids) == 1
}

// appOf returns the app of that name, up or not, in the snapshot; nil if it has none.
func (d *doctor) appOf(name string) *discovery.App {
	for i := range d.apps {
		if d.apps[i].Name == name {
			return &d.apps[i]
		}
	}
	return nil
}
