package workers

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/procid"
)

// MinUptime is how long a new worker must have lived, and its master with it: gunicorn's
// master exits seconds after a worker that does not boot.
const MinUptime = 5 * time.Second

// FindApp returns an app of a snapshot, running or not; nil: there is none, or the name is
// "".
func FindApp(snap *discovery.Snapshot, name string) *discovery.App {
	for i := range snap.Apps {
		if snap.Apps[i].Name == name && name != "" {
			return &snap.Apps[i]
		}
	}
	return nil
}

// CheckSteady returns why workers of an app come or go now, are too many to be known, or do
// not have one master that replaces them: none, or several. Zero: nothing of that; a worker
// whose parent cannot be read, and an app without workers, count as steady.
func CheckSteady(root string, app *discovery.App) action.Refusal {
	if app.Unslotted > 0 || app.Dropped > 0 {
		return action.Refuse(action.CodeReplacing, "workers are being replaced, or there are too many")
	}
	for _, w := range app.Workers {
		switch {
		case w.State == discovery.Booting:
			return action.Refuse(action.CodeStarting, "worker %d is still starting: only one worker is started or recycled at a time", w.Slot)
		case w.PID == app.PID:
			return action.Refuse(action.CodeNoReplacement, "the app has no master process to start a new worker")
		}
		if id, err := procid.Identify(root, w.PID); err == nil && id.Parent != app.PID {
			return action.Refuse(action.CodeSeveralMasters, "the workers have more than one master: an upgrade is in progress, or the app runs twice")
		}
	}
	return action.Refusal{}
}

// Serves reports whether a worker accepts requests: it is idle or busy, not stuck or
// booting. If its state cannot be read, it does unless its heartbeat is older than
// MinUptime.
func Serves(w discovery.Worker) bool {
	switch w.State {
	case discovery.Idle, discovery.Busy:
		return true
	case discovery.StateUnknown:
		return !w.HasBeat || w.Heartbeat < MinUptime
	default:
		return false
	}
}

// Share returns a worker's proportional share of memory in bytes, as last sampled, with
// what its RSS has grown since, at least 0; of one that was not sampled the whole RSS.
func Share(w discovery.Worker) float64 {
	return max(0, float64(w.Memory.PSS)+float64(w.RSS)-float64(w.Memory.RSS))
}

// Victims are the workers that wait for somebody else, and those that they wait for,
// at one moment.
type Victims interface {
	// WhyWorker returns what a worker waits for that is not its fault, as a sentence; ""
	// where it is no victim.
	WhyWorker(app, slot string, pid int) string
	// HoldsUp reports whether others wait for a worker.
	HoldsUp(app, slot string, pid int) bool
}
