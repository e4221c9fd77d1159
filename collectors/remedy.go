package collectors

// Remedies for missing capabilities.
const (
	// RemedyProcesses allows reading the processes of other users.
	RemedyProcesses  = "in the unit: AmbientCapabilities=CAP_SYS_PTRACE CAP_DAC_READ_SEARCH, and the same in CapabilityBoundingSet= if that is set"
	remedyNamespaces = "in the unit: AmbientCapabilities=CAP_SYS_PTRACE CAP_DAC_READ_SEARCH CAP_SYS_ADMIN, and the same in CapabilityBoundingSet= if that is set"
	remedyNetlink    = "in the unit: AF_NETLINK in RestrictAddressFamilies=; in a container: a seccomp profile that allows it"
)

// lackOfApp returns what one app lacks as an [Unavailable]. remedy may be "".
func lackOfApp(app string, reason Reason, detail, remedy string) error {
	return &Unavailable{Reason: reason, Detail: detail, Remedy: remedy, Of: "app:" + app}
}
