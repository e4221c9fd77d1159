package history

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/history/files"
)

// readMost is how many bytes of a state directory are read by [Read].
const readMost = 256 << 20

// Read returns a History with what the state directory has, without writing there. It is
// not to be run. Files that are damaged have what stands before the damage.
func Read(stateDir string) (*History, error) {
	dir, err := files.OpenToRead(stateDir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	l, err := loadFiles(dir, readMost)
	if err != nil {
		return nil, err
	}
	h := New(Options{Settings: Settings{Keep: 365 * 24 * time.Hour, MaxBytes: readMost}})
	h.segments = l.segments
	h.counts.Damaged = uint64(len(l.bad))
	return h, nil
}
