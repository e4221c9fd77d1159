package holder

import "github.com/prometheus/procfs"

// Inodes returns the inodes of the sockets at an address.
func Inodes(procRoot, listen string) []uint64 {
	fs, err := procfs.NewFS(procRoot)
	if err != nil {
		panic(err)
	}
	return inodesOf(fs, procRoot, listen)
}
