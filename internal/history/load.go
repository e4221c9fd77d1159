package history

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/history/files"
)

const (
	filePrefix = "history-"
	fileDigits = 10
	maxFile    = 64 << 20 // bytes of a file that is read
	// maxLoaded is how many files are read.
	maxLoaded = 256
	// maxContinued is how many bytes a segment has that is continued after a restart. A
	// larger one could have tables of several megabytes, which its encoder would need.
	maxContinued = 256 << 10
)

// fileName returns the file name of a segment.
func fileName(number uint64) string { return fmt.Sprintf("%s%0*d", filePrefix, fileDigits, number) }

// fileNumber returns the number in a file's name; false if it is no name of a segment.
func fileNumber(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, filePrefix)
	if !ok || len(digits) != fileDigits {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil
}

// loaded is what the files of a state directory hold.
type loaded struct {
	segments []*segment // the oldest first; those that are sound are not in memory, but for one that can be continued
	last     *decoder   // of the last one, if it can be continued
	numbers  []uint64   // of all files
	bad      []uint64   // of those that are damaged, or may not be read
	errs     []error    // why
}

// loadFiles reads the names of all segments in a state directory, and the latest segments,
// until these have most bytes; at most 256 files, none if most is 0. Segments without a
// sample are left out. Files that are damaged or cannot be read are listed in the result
// and are no error.
func loadFiles(dir *files.Dir, most int) (*loaded, error) {
	names, err := dir.Names()
	if err != nil {
		return nil, err
	}
	out := &loaded{}
	for _, name := range names {
		if n, ok := fileNumber(name); ok {
			out.numbers = append(out.numbers, n)
		}
	}
	size := 0
	var content []byte
	for i, n := range slices.Backward(out.numbers) {
		if len(out.numbers)-i > maxLoaded || size >= most {
			break
		}
		var err error
		if content, err = dir.ReadTo(content[:0], fileName(n), maxFile); err != nil {
			out.bad, out.errs = append(out.bad, n), append(out.errs, err)
			continue
		}
		if s := out.add(n, content, i == len(out.numbers)-1); s.samples > 0 {
			size += s.length()
			out.segments = append(out.segments, s)
		}
	}
	slices.Reverse(out.segments)
	return out, nil
}

// add returns the sound beginning of the content of a file as a segment, and notes a
// damaged file. newest: it is the last one.
func (l *loaded) add(number uint64, content []byte, newest bool) *segment {
	var s *segment
	var d *decoder
	var err error
	if newest && len(content) <= maxContinued {
		s, d, err = parseSegment(number, content)
	} else {
		s, err = skimSegment(number, content)
	}
	if errors.Is(err, errDamaged) {
		l.bad, l.errs = append(l.bad, number), append(l.errs, fmt.Errorf("%s: %w", fileName(number), err))
	} else if newest {
		l.last = d
	}
	if err == nil && d == nil {
		s.release()
	} else { // it is to be written again, or continued
		s.data, s.stored = slices.Clone(s.data), err == nil
	}
	return s
}
