package cause

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// maxWord bounds a name from outside in a sentence, in bytes.
const maxWord = 100

// Sentence returns a judgement as text: what holds up the app, then the waits, or else the
// numbers that show it; "" without a cause. If a cause is kept after the harm has ended,
// the text states that and leaves out the old numbers.
func Sentence(b *model.Bottleneck) string {
	if b.Cause == "" {
		return ""
	}
	app := text.Label(b.App, maxWord)
	if !b.Harm.Any() {
		return app + " was held up by " + Words(b) + " until a moment ago."
	}
	out := app + " is held up by " + Words(b) + "."
	if b.Chain != nil && isVictim(b) {
		return out + " " + diagnosis.Sentence(b.Chain, b.App)
	}
	return out + numbers(b)
}

// isOwn reports whether the cause of a bottleneck is cpu, because its own requests
// compute for long.
func isOwn(b *model.Bottleneck) bool {
	_, own := valueAt(b, "computing_workers")
	return own && b.Cause == model.CauseCPU
}

// Words returns the cause of a judgement in words that follow "held up by"; "an unknown
// cause" for any other.
func Words(b *model.Bottleneck) string {
	at := place(b.Peer)
	switch b.Cause {
	case model.CauseCPU:
		if isOwn(b) {
			return "requests that compute for long"
		}
		return "a lack of CPU"
	case model.CauseCPUThrottled:
		return "the CPU limit of its control group"
	case model.CauseMemory:
		return "a lack of memory"
	case model.CauseWorkers:
		return "too few workers: all are busy with useful work"
	case model.CausePool:
		return "its pool of database connections: none is free"
	case model.CauseDBLock:
		return "a lock in " + cmp.Or(at, "the database")
	case model.CauseDBSlow:
		return "slow statements in " + cmp.Or(at, "the database")
	case model.CauseDBDown:
		return cmp.Or(at, "the database") + ", which does not serve it"
	case model.CauseRedis:
		return cmp.Or(at, "Redis")
	case model.CauseUpstream:
		return upstream(b.Peer) + ", which does not answer in time"
	case model.CauseGIL:
		return "the interpreter's lock (GIL): a thread computes, the others wait"
	case model.CauseGC:
		return "the garbage collector of Python"
	case model.CauseLock:
		return "a lock of its own process"
	case model.CauseDisk:
		return "the disk"
	case model.CauseTasks:
		return strings.TrimSuffix("its background tasks in queue "+at, " in queue ")
	case model.CauseSlowClients:
		return "slow clients"
	case model.CauseLoopBlocked:
		return "code that blocks its event loop"
	}
	return "an unknown cause"
}

// upstream returns in words the server or app that an app calls; without its name if peer
// is "".
func upstream(peer string) string {
	if strings.HasPrefix(peer, "app:") {
		return place(peer)
	}
	return strings.TrimSpace("the upstream server " + place(peer))
}

// place returns a peer in words: "MySQL main" for "mysql:main"; any other, such as an
// address, as it is, and "" for "". Names are cut to maxWord bytes.
func place(peer string) string {
	kind, name, found := strings.Cut(peer, ":")
	name = text.Label(name, maxWord)
	switch {
	case found && kind == "mysql":
		return "MySQL " + name
	case found && kind == "redis":
		return "Redis " + name
	case found && kind == "app":
		return "the app " + name
	}
	return text.Label(peer, maxWord)
}

// isVictim reports whether a worker of the app is a victim of the chain, which must not be
// nil.
func isVictim(b *model.Bottleneck) bool {
	for i := range b.Chain.Victims {
		if b.Chain.Victims[i].App == b.App {
			return true
		}
	}
	return false
}

// valueAt returns the number of the evidence with this code; false if there is none.
func valueAt(b *model.Bottleneck, code string) (float64, bool) {
	for i := range b.Evidence {
		if b.Evidence[i].Code == code {
			return b.Evidence[i].Value, true
		}
	}
	return 0, false
}

// numbers returns the evidence of a cause as sentences, with a space before; "" without
// any.
func numbers(b *model.Bottleneck) string {
	var out []string
	threads, known := valueAt(b, "threads")
	lost, some := valueAt(b, "lost_threads")
	if known && some {
		out = append(out, fmt.Sprintf("It costs the time of %.1f of %s.", lost, text.Plural(max(1, float64(int(threads+0.5))), "request thread", "request threads")))
	}
	if longest, ok := valueAt(b, "longest_wait"); ok && longest >= 1 {
		out = append(out, "The longest wait is "+text.Seconds(longest)+".")
	}
	if longest, ok := valueAt(b, "longest_request"); ok {
		out = append(out, "The longest of them has computed for "+text.Seconds(longest)+".")
	}
	if age, ok := valueAt(b, "task_age"); ok {
		out = append(out, "The oldest task has waited for "+text.Seconds(age)+".")
	}
	if n, ok := valueAt(b, "task_workers"); ok {
		out = append(out, text.Plural(n, "worker takes", "workers take")+" tasks from the queue.")
	}
	if b.Cause == model.CausePool {
		out = append(out, poolNumbers(b)...)
	}
	if n := b.Harm.Queue; n != nil {
		out = append(out, text.Plural(*n, "connection waits", "connections wait")+" to be accepted.")
	}
	if len(out) == 0 {
		return ""
	}
	return " " + strings.Join(out, " ")
}

// poolNumbers returns a sentence about what the connections of a pool do; nil if the
// evidence has no pool.
func poolNumbers(b *model.Bottleneck) []string {
	used, ok := valueAt(b, "pool_in_use")
	if !ok {
		return nil
	}
	asleep, _ := valueAt(b, "pool_in_transaction")
	leaked, _ := valueAt(b, "pool_leaked")
	return []string{fmt.Sprintf("Of its connections %s execute a statement, and %s are asleep in a transaction.", text.Short(used), text.Short(asleep+leaked))}
}
