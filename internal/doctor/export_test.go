package doctor

import (
	"github.com/prometheus/procfs"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/config"
)

// IsFault reports whether doctor reports a lack as a fault.
func IsFault(cfg config.Config, collector string, u *collectors.Unavailable) bool {
	return (&doctor{Subject: Subject{Config: cfg}}).fault(collector, u)
}

// Holder returns the pid of the process, other than this one, that listens at an
// address; 0 if there is none.
func Holder(procRoot, listen string) int { return holderOf(procRoot, listen).pid }

// Inodes returns the inodes of the sockets at an address.
func Inodes(procRoot, listen string) []uint64 {
	fs, err := procfs.NewFS(procRoot)
	if err != nil {
		panic(err)
	}
	return inodesOf(fs, procRoot, listen)
}

// Instead returns the remedy for rights that are too strong, and the settings of the
// rules that act on the server.
func Instead(cfg config.Config, server string, rights []string, account string, mariadb bool) (way string, heals, bare bool) {
	k, heals := killTargetsOn(cfg, server)
	return k.procedureRemedy(rights, account, mariadb), heals, k.bare
}
