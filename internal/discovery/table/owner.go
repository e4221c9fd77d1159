package table

import (
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/cgroup"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// Tier orders accounts by who vouches for a process. The lower one comes first.
type Tier uint8

const (
	TierRoot    Tier   = iota // root's
	TierSystem                // of a system user (uid below 1000), or in a service of the system's manager
	TierUser                  // anybody's
	FirstUserID = 1000        // SYS_UID_MAX + 1 of login.defs
)

// Ownership is whose a process is. It is read when it is first needed, and
// again when the process is read again.
type Ownership struct {
	procfs.Owner
	Known  bool
	Placed bool // unit and tier are set
	Tier   Tier
	Unit   string
}

// Owner returns whose a process is.
func (t *Table) Owner(p *Process) *Ownership {
	if !p.Owner.Known {
		p.Owner = Ownership{Known: true, Owner: t.FS.Owner(p.PID, p.UID, t.userNS)}
	}
	return &p.Owner
}

// OwnerWithUnit returns whose a process is with its unit and its tier.
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

// unitOf finds the systemd service or scope that control-group paths lie in,
// without its ending.
func unitOf(paths []string) string {
	for _, g := range paths {
		if unit := cgroup.Unit(g); unit != "" {
			return unit[:strings.LastIndexByte(unit, '.')]
		}
	}
	return ""
}
