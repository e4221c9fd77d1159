package procfs

import (
	"bytes"

	"golang.org/x/sys/unix"
)

// Account is the user id that a process is charged to: the real user id or, in a
// user namespace that a user other than root created, that of its creator, who may
// own thousands of user ids there.
type Account uint32

const (
	nsGetParent   = 0xb702 // NS_GET_PARENT of linux/nsfs.h
	nsGetOwnerUID = 0xb704 // NS_GET_OWNER_UID
)

// Owner is the owner of a process.
type Owner struct {
	Account Account
	UID     uint32 // real
	Changed bool   // real and effective user id differ, or its program changes them by its mode (setuid, setgid)
}

// Owner returns the owner of a process by /proc/PID/status, /proc/PID/exe and
// /proc/PID/ns/user. Where these may not be read it is uid, the owner of /proc/PID, and
// Changed is false. ownNS is the inode of the exporter's user namespace.
//
// The owner of /proc/PID alone is no proof: it is root for every process that is not
// dumpable, and the effective user of a setuid program such as su, which any user starts
// with any title and with sockets that it inherits.
func (r *FS) Owner(pid int, uid uint32, ownNS uint64) Owner {
	o := Owner{Account: Account(uid), UID: uid}
	if b, err := r.Read(pid, "status"); err == nil {
		if ids, ok := parseUIDs(b); ok {
			o.Account, o.UID = Account(ids[0]), ids[0]
			o.Changed = ids[0] != 0 && (ids[0] != ids[1] || ids[0] != ids[2])
		}
	}
	if st, err := StatLink(r.Path(pid, "exe")); err == nil && st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 {
		o.Changed = true
	}
	if creator, ok := r.namespaceOwner(pid, ownNS); ok && creator != 0 {
		o.Account = Account(creator)
	}
	return o
}

// namespaceOwner returns the user id that created the outermost user namespace between that
// of a process and the exporter's (ioctl_ns(2)), of those that can be read. ok is false if
// both are in the same one, none can be read, or ownNS is 0, which is not known.
func (r *FS) namespaceOwner(pid int, ownNS uint64) (uid uint32, ok bool) {
	var st unix.Stat_t
	if unix.Stat(r.Path(pid, "ns/user"), &st) != nil || st.Ino == ownNS || ownNS == 0 {
		return 0, false
	}
	fd, err := OpenRetry(r.Path(pid, "ns/user"), unix.O_RDONLY|unix.O_CLOEXEC)
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
		if unix.Fstat(fd, &st) != nil || st.Ino == ownNS {
			return uid, ok
		}
	}
	return uid, ok
}

// parseUIDs returns the real, effective and saved user id in /proc/PID/status; ok is
// false if they are not there.
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
		n, ok := parseDecimal(f[i])
		if !ok || n > 1<<32-1 {
			return ids, false
		}
		ids[i] = uint32(n)
	}
	return ids, true
}
