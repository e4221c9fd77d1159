package collectors

import "github.com/resp-exporter/resp-exporter/internal/ingest"

// limits are the limits of all accounts, and the counts of what was over them.
type limits struct {
	slow      float64 // seconds
	maxRoutes int
	// Pairs of method and route, without the first of each account, and names of pools
	// and tasks, by the class of the account: untrusted senders must not use up the limit
	// of the apps.
	pairs [accountClasses]int
	// Folded events by family, the lines that had them, and the lines that were dropped
	// because their sender may not report for the app.
	requests, durations, logs, lines, untrusted uint64
	queueTimes, poolWaits, taskRuns, killed     uint64
	taskRestarts                                uint64
	unsent                                      unsentLines
}

// allowsPair reports whether an account may have one more pair of method and route, or name
// of a pool or task, within the limit that all accounts of its class share: ten times
// maxRoutes, a quarter of that for claimed and pending ones. A watched app may have at most
// half of it, and pairsForEach even if others have used it up.
func (l *limits) allowsPair(a *account) bool {
	all := l.maxRoutes * pairsPerRoute
	switch a.class {
	case classWatched:
		// One app gets at most half, and each at least pairsForEach.
		return l.pairs[classWatched] < all && a.pairs < all/2 || a.pairs < min(pairsForEach, all/2)
	case classTrusted, classAttributed:
		return l.pairs[a.class] < all
	default:
		return l.pairs[a.class] < all/4
	}
}

// countFolded counts an event that a limit keeps from a series of its own, by its kind.
func (l *limits) countFolded(e *ingest.Event) {
	if !e.Again {
		l.lines++
	}
	switch e.Kind {
	case ingest.Request:
		l.requests++
		l.durations++
	case ingest.Status:
		l.requests++
	case ingest.Duration:
		l.durations++
	case ingest.Log:
		l.logs++
	case ingest.QueueTime:
		l.queueTimes++
	case ingest.PoolWait:
		l.poolWaits++
	case ingest.TaskRun:
		l.taskRuns++
	case ingest.Ignored:
	}
}

// accountClass is what an account is for, and how far its senders are trusted.
type accountClass uint8

const (
	classPending    accountClass = iota // the pending or unnamed events of a sender
	classAttributed                     // the unnamed events of a sender that is known to report for an app
	classClaimed                        // an app that is not watched, of the user that first reported for it
	classTrusted                        // an app that is not watched, of a sender that may report for all apps
	classWatched                        // an app whose processes are or were watched
	accountClasses                      // the number of classes
)
