package doctor

import (
	"github.com/prometheus/procfs"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/config"
)

// IsFault tells what the doctor makes of something that is missing.
func IsFault(cfg config.Config, collector string, u *collectors.Unavailable) bool {
	return (&doctor{Subject: Subject{Config: cfg}}).fault(collector, u)
}

// Holder is the process, other than this one, that has an address.
func Holder(procRoot, listen string) int { return holderOf(procRoot, listen).pid }

// Inodes are the sockets at an address.
func Inodes(procRoot, listen string) []uint64 {
	fs, err := procfs.NewFS(procRoot)
	if err != nil {
		panic(err)
	}
	return inodesOf(fs, procRoot, listen)
}

// Instead is the way from rights that are too strong, and what the rules say.
func Instead(cfg config.Config, server string, rights []string, account string, mariadb bool) (way string, heals, bare bool) {
	k, heals := killTargetsOn(cfg, server)
	return k.procedureRemedy(rights, account, mariadb), heals, k.bare
}
