package proc

import (
	"bytes"
	"strings"

	"golang.org/x/sys/unix"
)

// account is the user that the places and the cost of a process are charged to.
// It is the real user id; for a process in another user namespace whose creator
// is not root it is the creator, who may hold thousands of user ids there.
type account uint32

// tier orders accounts by who vouches for a process. The lower one comes first.
type tier uint8

const (
	nsGetParent   = 0xb702 // NS_GET_PARENT of linux/nsfs.h
	nsGetOwnerUID = 0xb704 // NS_GET_OWNER_UID
)

const (
	tierRoot    tier   = iota // root's
	tierSystem                // of a system user (uid below 1000), or in a service of the system's manager
	tierUser                  // anybody's
	firstUserID = 1000        // SYS_UID_MAX + 1 of login.defs
)

// ownership is whose a process is. It is read when it is first needed, and
// again when the process is read again.
type ownership struct {
	account account
	uid     uint32 // real
	known   bool
	changed bool // real and effective user id differ, or its program changes them by its mode (setuid, setgid)
	placed  bool // unit and tier are set
	tier    tier
	unit    string
}

// owns returns whose a process is. What may not be read counts as the owner of
// /proc/PID.
//
// The owner of /proc/PID alone is no proof: it is root for every process that is
// not dumpable, and the effective user of a setuid program such as su, which any
// user starts with any title and with sockets that it inherits.
func (t *table) owns(p *process) *ownership {
	o := &p.own
	if o.known {
		return o
	}
	*o = ownership{known: true, account: account(p.uid), uid: p.uid}
	if b, err := t.r.pid(p.pid, "status"); err == nil {
		if ids, ok := parseUIDs(b); ok {
			o.account, o.uid = account(ids[0]), ids[0]
			o.changed = ids[0] != 0 && (ids[0] != ids[1] || ids[0] != ids[2])
		}
	}
	var st unix.Stat_t
	if unix.Stat(t.r.path(p.pid, "exe"), &st) == nil && st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 {
		o.changed = true
	}
	if creator, ok := t.namespaceOwner(p.pid); ok && creator != 0 {
		o.account = account(creator)
	}
	return o
}

// namespaceOwner returns the user id that created the outermost user namespace
// between a process and ours; ok is false where both live in the same one.
func (t *table) namespaceOwner(pid int) (uid uint32, ok bool) {
	var st unix.Stat_t
	if unix.Stat(t.r.path(pid, "ns/user"), &st) != nil || st.Ino == t.userNS || t.userNS == 0 {
		return 0, false
	}
	fd, err := openRetry(t.r.path(pid, "ns/user"), unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return 0, false
	}
	defer func() { _ = unix.Close(fd) }()
	for range 33 { // the kernel's limit of nesting is 32
		creator, err := unix.IoctlGetUint32(fd, nsGetOwnerUID)
		if err != nil {
			return uid, ok
		}
		uid, ok = creator, true
		up, err := unix.IoctlRetInt(fd, nsGetParent)
		if err != nil { // ours is above our reach: EPERM
			return uid, ok
		}
		_ = unix.Close(fd)
		fd = up
		if unix.Fstat(fd, &st) != nil || st.Ino == t.userNS {
			return uid, ok
		}
	}
	return uid, ok
}

// parseUIDs reads the real, effective and saved user id of /proc/PID/status.
func parseUIDs(b []byte) (ids [3]uint32, ok bool) {
	_, rest, found := bytes.Cut(b, []byte("\nUid:"))
	if !found {
		return ids, false
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	f := bytes.Fields(line)
	if len(f) != 4 {
		return ids, false
	}
	for i := range ids {
		n, ok := number(f[i])
		if !ok || n > 1<<32-1 {
			return ids, false
		}
		ids[i] = uint32(n)
	}
	return ids, true
}

// place returns whose a process is with its unit and its tier.
func (w *Watcher) place(p *process) *ownership {
	o := w.table.owns(p)
	if o.placed {
		return o
	}
	groups := w.groups(p.pid)
	o.placed, o.unit, o.tier = true, serviceOf(groups), tierUser
	p.unit = unitOf(groups)
	switch {
	case o.changed:
	case o.account == 0:
		o.tier = tierRoot
	case o.account < firstUserID || o.unit != "":
		o.tier = tierSystem
	}
	return o
}

// serviceOf returns the service of the system's manager that control-group
// paths lie in; "" for none. A user makes groups only below user.slice.
func serviceOf(paths []string) string {
	for _, g := range paths {
		if !strings.HasPrefix(g, "/system.slice/") {
			continue
		}
		if unit := unitOf([]string{g}); unit != "" {
			return unit
		}
	}
	return ""
}
