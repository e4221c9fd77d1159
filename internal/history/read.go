package history

import (
	"errors"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/history/files"
)

// readMost is how many bytes of a state directory are read by [Read].
const readMost = 256 << 20

// Read returns a History with the latest contents of a state directory, up to 256 MiB and
// 256 files, to be queried but not run. It writes nothing there, and reads the files again
// for each query. From a damaged file it takes what precedes the damage; one that cannot
// be read is left out.
func Read(stateDir string) (*History, error) {
	dir, err := files.OpenToRead(stateDir)
	if err != nil {
		return nil, err
	}
	l, err := loadFiles(dir, readMost)
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	h := New(Options{Settings: Settings{Keep: 365 * 24 * time.Hour, MaxBytes: readMost}})
	h.memory.segments, h.reading = l.segments, dir
	h.memory.counts.Damaged = uint64(len(l.bad))
	return h, nil
}
