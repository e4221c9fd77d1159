package app

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

// barred is what keeps a user from looking into processes of its own uid.
type barred struct {
	yama   int  // kernel.yama.ptrace_scope; 0 where this kernel has no Yama
	opaque bool // the process is not dumpable: the kernel gives its files in procfs to root
}

// barredFrom reads what keeps a process of the same uid from looking into pid,
// whose uid is given, below a mounted procfs.
func barredFrom(procRoot string, pid, uid int) barred {
	var b barred
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

// sameUser reports whether to be the user of the processes is enough, for what
// the collector reads: Yama bars system calls and memory, and nothing else.
func (b barred) sameUser(collector string) bool {
	return !b.opaque && (b.yama == 0 || collector != "workers")
}

// explain is the end of a sentence about what the uid does not give.
func (b barred) explain(collector string) string {
	switch {
	case b.opaque:
		return "; its processes are not dumpable, as after gunicorn --user, so that their own uid may not look into them"
	case b.yama > 0 && collector == "workers":
		return fmt.Sprintf("; kernel.yama.ptrace_scope is %d here, so that their own uid may not do so", b.yama)
	}
	return ""
}

// cureApp adds to a cure what else gives the right to look into an app: to be
// its user, or capabilities of the binary or of the container. Network
// namespaces need a capability more, and no uid serves in its place.
func (d *doctor) cureApp(collector, app string, f *Finding) {
	names := []string{"sys_ptrace", "dac_read_search"}
	spaces := strings.Contains(strings.Join(f.Cure, " "), "CAP_SYS_ADMIN")
	if spaces {
		names = append(names, "sys_admin")
	}
	at := d.appOf(app)
	if at != nil && !spaces {
		b, uid, one := d.barredFromApp(at)
		f.Detail += b.explain(collector)
		if one && uid != 0 && uid != d.who.uid && b.sameUser(collector) {
			f.Cure = append(f.Cure, "in the unit: User="+userName(uid))
		}
		if b.yama == 3 && collector == "workers" { // then no capability serves, and only a boot sets it back
			f.Cure = []string{"echo kernel.yama.ptrace_scope=1 > /etc/sysctl.d/99-resp-exporter.conf && reboot"}
			return
		}
	}
	if binary, err := os.Executable(); err == nil && d.who.uid != 0 {
		f.Cure = append(f.Cure, "as root: setcap cap_"+strings.Join(names, ",cap_")+"=ep "+shellLine([]string{binary}))
	}
	if d.who.uid == 0 {
		f.Cure = append(f.Cure, "in a container: cap_add: ["+strings.ToUpper(strings.Join(names, ", "))+"]")
	}
}

// barredFromApp is what keeps a process of their own uid from looking into an
// app's processes, and whose they are; one is false where they are of several.
func (d *doctor) barredFromApp(a *discovery.App) (b barred, uid int, one bool) {
	root, err := procfs.NewFS(d.o.ProcRoot)
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
		of := barredFrom(d.o.ProcRoot, p.PID, uid)
		b.yama, b.opaque = of.yama, b.opaque || of.opaque
	}
	return b, uid, len(uids) == 1
}

// appOf is the app of that name that runs; nil if none does.
func (d *doctor) appOf(name string) *discovery.App {
	for i := range d.apps {
		if d.apps[i].Name == name {
			return &d.apps[i]
		}
	}
	return nil
}
