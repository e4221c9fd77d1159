package cleandisk

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
)

// Lacks returns what keeps the action from removing files of its directories, whatever they
// contain, for people before an alert fires: one refusal for each directory that has a
// lack, in their order, or a single one if the owner or the mount table cannot be read. It
// is empty if nothing does.
func (r *Action) Lacks() []action.Refusal {
	owner, err := r.owner()
	if err != nil {
		return []action.Refusal{action.Refuse(action.CodeSettingUnknown, "%s", err)}
	}
	m, err := r.mounts()
	if err != nil {
		return []action.Refusal{action.Refuse(action.CodeNotPermitted, "%s", err)}
	}
	var out []action.Refusal
	for _, path := range r.c.Directories {
		if refused := r.lackOf(m, path, owner); !refused.IsZero() {
			out = append(out, refused)
		}
	}
	return out
}

// lackOf returns why files of a directory could not be removed; zero if nothing is known that
// prevents it. No file is tried: without an owner in the settings it does not check CAP_LEASE.
func (r *Action) lackOf(m *mounts, path string, owner *uint32) action.Refusal {
	if refused := m.checkLocal(path); !refused.IsZero() {
		return refused
	}
	d, refused, err := r.open(m, path, owner)
	if err != nil {
		return action.Refuse(action.CodeNotPermitted, "%s", err)
	}
	if !refused.IsZero() {
		return refused
	}
	defer d.close()
	switch err := unix.Faccessat(d.fd, ".", unix.R_OK|unix.W_OK|unix.X_OK, unix.AT_EACCESS); {
	case errors.Is(err, unix.EROFS):
		return action.Refuse(action.CodeNotPermitted, "%s is mounted read-only", path)
	case err != nil:
		return action.Refuse(action.CodeNotPermitted, "the exporter may not remove files from %s", path)
	case owner != nil && int64(*owner) != int64(os.Geteuid()) && !hasCapability(unix.CAP_LEASE):
		return action.Refuse(action.CodeNotPermitted, "%s: it cannot be checked whether another process has a file open: run the exporter as the owner of the files, or give it CAP_LEASE", path)
	case owner != nil && d.stat.Mode&unix.S_ISVTX != 0 && int64(*owner) != int64(os.Geteuid()) && !hasCapability(unix.CAP_FOWNER):
		return action.Refuse(action.CodeNotPermitted, "%s is sticky: only the owner of a file removes it, or CAP_FOWNER", path)
	}
	return action.Refusal{}
}

// hasCapability reports whether this process has a capability in effect; false if that
// cannot be read.
func hasCapability(bit uint) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	return data[bit/32].Effective&(1<<(bit%32)) != 0
}
