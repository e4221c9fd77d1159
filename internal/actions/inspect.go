package actions

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

// InspectState reports what keeps the state directory at path from being used, and
// how many lines of its journal are broken. It neither locks nor changes anything.
// A directory that is not there is fine where it can be made.
func InspectState(path string, now time.Time) (bad int, err error) {
	root, err := safefile.OpenRoot(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, safefile.CanMake(path)
	}
	if err != nil {
		return 0, err
	}
	d := &stateDir{path: path, root: root}
	defer func() { _ = d.close() }()
	if d.self, err = root.Open("."); err != nil {
		return 0, err
	}
	if err := unix.Faccessat(int(d.self.Fd()), ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil { //nolint:gosec // a descriptor fits an int
		return 0, &fs.PathError{Op: "write", Path: path, Err: err}
	}
	for _, f := range []struct {
		name  string
		limit int64
	}{{lockFile, maxPause}, {pauseFile, maxPause}, {olderFile, maxJournal}, {journalFile, maxJournal}} {
		file, err := d.open(f.name, os.O_RDONLY, f.limit)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return bad, fmt.Errorf("%s: %w", path, err)
		}
		if f.limit == maxJournal {
			err = readLines(io.LimitReader(file, f.limit), now, func(l line) {
				if !l.ok {
					bad++
				}
			})
		}
		if err = errors.Join(err, file.Close()); err != nil {
			return bad, err
		}
	}
	return bad, nil
}
