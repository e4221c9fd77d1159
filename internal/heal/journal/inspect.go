package journal

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

// Inspect returns how many lines of the journal in the directory at path, or temporary
// settings in one, are broken. The error says why the directory cannot be used. It
// neither locks nor changes anything. A missing directory is no error if it can be made.
func Inspect(path string, now time.Time) (bad int, err error) {
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
	for _, name := range []string{lockFile, pauseFile, olderFile, journalFile} {
		n, err := d.inspect(name, now)
		if err != nil {
			return bad, fmt.Errorf("%s: %w", path, err)
		}
		bad += n
	}
	return bad, nil
}

// inspect returns how many lines of a file of the directory are broken, if it is one of
// the journal. The error says why the file is refused; a missing file is none.
func (d *stateDir) inspect(name string, now time.Time) (bad int, err error) {
	journal := name == olderFile || name == journalFile
	limit := int64(maxPause)
	if journal {
		limit = maxJournal
	}
	file, err := d.open(name, os.O_RDONLY, limit)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if journal {
		err = ReadLines(io.LimitReader(file, limit), now, func(l Line) {
			if bad += l.Dropped; !l.OK {
				bad++
			}
		})
	}
	return bad, errors.Join(err, file.Close())
}
