package history

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/history/files"
)

// Inspection is what a state directory has of the history.
type Inspection struct {
	Files    int
	Bytes    int       // of those that can be read
	From, To time.Time // of their samples; zero: there is none
	Damaged  []error   // one a file that is damaged, or may not be read
}

// Inspect returns how many files of history a state directory has, the size and time of the
// latest of them (up to 256 MiB and 256 files), and which of these are damaged. The error
// is what keeps the exporter from reading it or writing to it. It neither locks nor changes
// anything.
func Inspect(stateDir string) (Inspection, error) {
	dir, err := files.OpenToRead(stateDir)
	if err != nil {
		return Inspection{}, err
	}
	defer func() { _ = dir.Close() }()
	if err := dir.Writable(); err != nil {
		return Inspection{}, err
	}
	l, err := loadFiles(dir, readMost)
	if err != nil {
		return Inspection{}, err
	}
	out := Inspection{Files: len(l.numbers), Damaged: l.errs}
	for _, s := range l.segments {
		out.Bytes += s.length()
		if out.From.IsZero() || s.from.Before(out.From) {
			out.From = s.from
		}
		if s.to.After(out.To) {
			out.To = s.to
		}
	}
	return out, nil
}
