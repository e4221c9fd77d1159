package collectors

// Cures that name the capabilities which the apps' processes ask for.
const (
	// CureProcesses is for everything of other users' processes.
	CureProcesses  = "in the unit: AmbientCapabilities=CAP_SYS_PTRACE CAP_DAC_READ_SEARCH, and the same in CapabilityBoundingSet= if that is set"
	cureNamespaces = "in the unit: AmbientCapabilities=CAP_SYS_PTRACE CAP_DAC_READ_SEARCH CAP_SYS_ADMIN, and the same in CapabilityBoundingSet= if that is set"
	cureNetlink    = "in the unit: AF_NETLINK in RestrictAddressFamilies=; in a container: a seccomp profile that allows it"
)

// lackOfApp is what cannot be seen of one app.
func lackOfApp(app string, reason Reason, detail, cure string) error {
	return &Unavailable{Reason: reason, Detail: detail, Remedy: cure, Of: "app:" + app}
}
