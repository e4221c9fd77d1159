package discovery

import (
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/cgroup"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// tier orders accounts by who vouches for a process. The lower one comes first.
type tier uint8

const (
	tierRoot    tier   = iota // root's
	tierSystem                // of a system user (uid below 1000), or in a service of the system's manager
	tierUser                  // anybody's
	firstUserID = 1000        // SYS_UID_MAX + 1 of login.defs
)

// ownership is whose a process is. It is read when it is first needed, and
// again when the process is read again.
type ownership struct {
	procfs.Owner
	known  bool
	placed bool // unit and tier are set
	tier   tier
	unit   string
}

// owns returns whose a process is.
func (t *table) owns(p *process) *ownership {
	if !p.own.known {
		p.own = ownership{known: true, Owner: t.r.AccountOf(p.pid, p.uid, t.userNS)}
	}
	return &p.own
}

// place returns whose a process is with its unit and its tier.
func (t *table) place(p *process) *ownership {
	o := t.owns(p)
	if o.placed {
		return o
	}
	groups := t.r.Groups(p.pid)
	o.placed, o.unit, o.tier = true, serviceOf(groups), tierUser
	p.unit = unitOf(groups)
	switch {
	case o.Changed:
	case o.Account == 0:
		o.tier = tierRoot
	case o.Account < firstUserID || o.unit != "":
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
