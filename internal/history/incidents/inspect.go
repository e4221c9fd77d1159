package incidents

import (
	"fmt"
	"maps"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/history/files"
)

// Inspection is what a state directory has of incidents and last words.
type Inspection struct {
	Incidents, Words int
	Damaged          []error // one a file that has a damaged line, or may not be read
}

// Inspect returns how many incidents and last words a state directory has, at most maxRead
// of each, and which files are damaged or cannot be read. It neither locks nor changes
// anything. An error: the directory cannot be opened.
func Inspect(stateDir string) (Inspection, error) {
	dir, err := files.OpenToRead(stateDir)
	if err != nil {
		return Inspection{}, err
	}
	defer func() { _ = dir.Close() }()
	in, words, bad := readAll(dir)
	out := Inspection{Incidents: len(in.order), Words: len(words.list)}
	for _, name := range slices.Sorted(maps.Keys(bad)) {
		out.Damaged = append(out.Damaged, fmt.Errorf("%s: %w", name, bad[name]))
	}
	return out, nil
}
