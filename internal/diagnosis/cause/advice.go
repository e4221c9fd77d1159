package cause

import (
	"cmp"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// ID returns the identity of the advice about a bottleneck: that of the root of its
// chain, or if it has no chain, the app and the cause. Advice with the same identity is
// reported once.
func ID(b *model.Bottleneck) string {
	if b.Chain != nil {
		if id := diagnosis.Cause(b.Chain); id != "" {
			return id
		}
	}
	return b.App + "/bottleneck:" + string(b.Cause)
}

// Advice returns what to do about the cause of a bottleneck. It returns "" if there is no
// cause, and once there is no harm any more: what the advice would end may have ended.
func Advice(b *model.Bottleneck) string {
	if !b.Harm.Any() {
		return ""
	}
	if b.Chain != nil {
		if out := diagnosis.Advice(b.Chain); out != "" {
			return out
		}
	}
	at := place(b.Peer)
	switch b.Cause { //nolint:exhaustive // the others follow
	case model.CauseCPU:
		if isOwn(b) {
			return computingAdvice(b)
		}
		return "Find what else computes on this host, or run fewer workers than it has cores for; more workers make it worse."
	case model.CauseCPUThrottled:
		return "Raise the CPU limit (CPUQuota of the unit, limits.cpu of the pod), or run fewer workers; the host itself may be idle."
	case model.CauseMemory:
		return "Free memory or raise the limit, and run fewer workers; more workers make it worse."
	case model.CauseWorkers:
		return "Run more workers or threads if CPU and memory allow it, or make the views that take most of the time cheaper."
	case model.CausePool:
		return "Find the code that keeps connections without using them: close each session at the end of the request. Make the pool larger only after that."
	case model.CauseDBLock:
		return "End the transaction that holds the lock; SHOW ENGINE INNODB STATUS on " + cmp.Or(at, "the server") + " lists the waits."
	case model.CauseDBSlow:
		return "Look at the statements that run now (SHOW FULL PROCESSLIST on " + cmp.Or(at, "the server") + ") and at their plans (EXPLAIN)."
	case model.CauseDBDown:
		return "Check that " + cmp.Or(at, "the server") + " runs, accepts connections and answers."
	case model.CauseRedis:
		return "Check that " + cmp.Or(at, "the server") + " runs and answers; SLOWLOG GET lists its slow commands."
	}
	return ofProcess(b, at)
}

// computingAdvice returns the advice about requests that compute for long. It names the
// view of the longest one if that is known.
func computingAdvice(b *model.Bottleneck) string {
	what := "the requests that compute"
	if i := slices.IndexFunc(b.Evidence, func(e model.Evidence) bool { return e.Code == "longest_request" && e.Of != "" }); i >= 0 {
		what = "the view " + text.Label(b.Evidence[i].Of, maxWord)
	}
	return "Make " + what + " cheaper, or move the computing into a background task; more workers help as long as there are cores for them."
}

// ofProcess returns the advice about causes in the app itself and around it, "" for the
// others. at is the server or app that is waited for, in words; "": not known.
func ofProcess(b *model.Bottleneck, at string) string {
	switch b.Cause { //nolint:exhaustive // the others are those of the caller
	case model.CauseUpstream:
		return "Find out why " + cmp.Or(at, "it") + " is slow, and give the call a timeout."
	case model.CauseGIL:
		return "Run more workers with fewer threads each, and move the computing out of the requests."
	case model.CauseGC:
		return "Call gc.freeze() after loading, raise gc.set_threshold(), or keep fewer objects."
	case model.CauseLock:
		return "Hold the lock for less long, and never over a call to another server."
	case model.CauseDisk:
		return "Find what reads or writes (iotop, the io limit of the control group), and keep files that requests need in memory."
	case model.CauseTasks:
		return "Start the workers of the queue, and look at the task that each of them has in hand."
	case model.CauseSlowClients:
		return "Put a proxy that buffers (nginx) in front of the app, or use workers of threads or an event loop."
	case model.CauseLoopBlocked:
		return "Move the blocking call into a thread (run_in_executor, asyncio.to_thread), or use a driver for asyncio."
	}
	return ""
}
