package table

import (
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/cgroup"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// Tier orders accounts by who vouches for a process; the lowest comes first.
type Tier uint8

const (
	// TierRoot is root's processes.
	TierRoot Tier = iota
	// TierSystem is those of a system user (uid below 1000), or in a service of the
	// system manager.
	TierSystem
	// TierUser is all others.
	TierUser
	// FirstUserID is the first user id that is no system user's: SYS_UID_MAX + 1 of
	// login.defs.
	FirstUserID = 1000
)

// Ownership is the owner of a process. It is read when it is first needed, and
// again when the process is read again.
type Ownership struct {
	procfs.Owner
	Known  bool
	Placed bool // unit and tier are set
	Tier   Tier
	Unit   string
}

// Owner returns the owner of a process, without unit and tier.
func (t *Table) Owner(p *Process) *Ownership {
	if !p.Owner.Known {
		p.Owner = Ownership{Known: true, Owner: t.FS.Owner(p.PID, p.UID, t.userNS)}
	}
	return &p.Owner
}

// OwnerWithUnit returns the owner of a process with its unit and its tier, and
// sets p.Unit.
func (t *Table) OwnerWithUnit(p *Process) *Ownership {
	o := t.Owner(p)
	if o.Placed {
		return o
	}
	groups := t.FS.Cgroups(p.PID)
	o.Placed, o.Unit, o.Tier = true, serviceOf(groups), TierUser
	p.Unit = unitOf(groups)
	switch {
	case o.Changed:
	case o.Account == 0:
		o.Tier = TierRoot
	case o.Account < FirstUserID || o.Unit != "":
		o.Tier = TierSystem
	}
	return o
}

// serviceOf returns the first service or scope below /system.slice that control-group paths are in,
// without its ending, see [cgroup.Unit]; "" if they are in none. Users can make groups below
// user.slice only.
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

// unitOf returns the first systemd service or scope that control-group paths are in, without
// its ending; "" if they are in none, or only in those of logins and containers.
func unitOf(paths []string) string {
	for _, g := range paths {
		if unit := cgroup.Unit(g); unit != "" {
			return unit[:strings.LastIndexByte(unit, '.')]
		}
	}
	return ""
}
