package scaleworkers

import (
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/procid"
)

// maxSeen is how many workers a hold remembers. It recognizes a reload of the server by
// them.
const maxSeen = 64

// remembered returns the identities of workers as one text with spaces between them, as a
// hold keeps them: the first maxSeen.
func remembered(seen []string) string { return strings.Join(seen[:min(len(seen), maxSeen)], " ") }

// identities returns "pid:start" of the workers, in the order of their slots. One that has
// ended, or cannot be read, is left out.
func identities(root string, app *discovery.App) (out []string) {
	for _, w := range app.Workers {
		if id, err := procid.Identify(root, w.PID); err == nil {
			out = append(out, process.IdentityOf(id))
		}
	}
	return out
}

// reloaded reports whether all workers were replaced at once since they were last seen, as
// a HUP to the master does. before has those last seen; if it is "", or none can be read
// now, the answer is false. Workers that were replaced one by one share no time of start.
func reloaded(before string, seen []string, now []discovery.Worker) bool {
	if before == "" || len(seen) == 0 || slices.ContainsFunc(strings.Fields(before), func(id string) bool { return slices.Contains(seen, id) }) {
		return false
	}
	oldest := slices.MinFunc(now, func(a, b discovery.Worker) int { return a.Start.Compare(b.Start) })
	newest := slices.MaxFunc(now, func(a, b discovery.Worker) int { return a.Start.Compare(b.Start) })
	return newest.Start.Sub(oldest.Start) < reloadTime
}
