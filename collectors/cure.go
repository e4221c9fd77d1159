package collectors

// The capabilities that the apps' processes ask for, as a systemd unit takes
// them and as the README has them.
const (
	cureProcesses  = "AmbientCapabilities=CAP_SYS_PTRACE CAP_DAC_READ_SEARCH"
	cureNamespaces = "AmbientCapabilities=CAP_SYS_PTRACE CAP_DAC_READ_SEARCH CAP_SYS_ADMIN"
	cureNetlink    = "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK"
)

// lackOfApp is what cannot be seen of one app.
func lackOfApp(app string, reason Reason, detail, cure string) error {
	return &Unavailable{Reason: reason, Detail: detail, Cure: cure, Of: "app:" + app}
}
