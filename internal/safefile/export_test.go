package safefile

import (
	"io/fs"
	"os"
)

// Descriptor is what a [View] reads by.
type Descriptor = descriptor

// OpenSeen is [OpenOwn] of a file that was seen before.
func OpenSeen(root *os.Root, name string, flag int, limit int64, before fs.FileInfo) (*os.File, error) {
	return openSeen(root, name, flag, limit, before)
}
