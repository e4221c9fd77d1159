package model

import "time"

// Cause is what explains most of the worker time that an app loses.
type Cause string

// The values of the label cause of resp_bottleneck.
const (
	CauseCPU          Cause = "cpu"
	CauseCPUThrottled Cause = "cpu_throttled"
	CauseMemory       Cause = "memory"
	CauseWorkers      Cause = "workers" // all are busy with useful work, and the queue grows
	CausePool         Cause = "pool"
	CauseDBLock       Cause = "db_lock"
	CauseDBSlow       Cause = "db_slow"
	CauseDBDown       Cause = "db_down"
	CauseRedis        Cause = "redis"
	CauseUpstream     Cause = "upstream"
	CauseGIL          Cause = "gil"
	CauseGC           Cause = "gc"
	CauseLock         Cause = "lock" // of the process, or a deadlock
	CauseDisk         Cause = "disk"
	CauseTasks        Cause = "tasks"
	CauseSlowClients  Cause = "slow_clients"
	CauseLoopBlocked  Cause = "loop_blocked"
)

// Bottleneck is the judgement of one app: whether it is harmed, and by what.
type Bottleneck struct {
	App   string
	Cause Cause     // "": none, or none that is beyond doubt
	Since time.Time // when this cause was first found; zero without a cause
	Harm  Harm
	// Share is the part of the lost worker time that the cause explains.
	Share float64
	// Peer is what the cause is at: "mysql:main", "10.0.0.9:443", "app:blog", the name
	// of a queue; "": the app itself or the host.
	Peer string
	// Chain is the chain that shows the cause; nil: there is none.
	Chain *Chain
	// Evidence is the numbers from which it was judged, the most important first.
	Evidence []Evidence
}

// Harm is what the users of an app lose at the moment. The zero value is none.
type Harm struct {
	Queue   *float64 // connections that wait in the accept queue, at least
	Latency *float64 // seconds, of what is beyond its threshold or its past
	Stuck   *float64 // workers
	Errors  *float64 // ratio of requests
	Tasks   *float64 // seconds that the oldest task has waited
}

// Any reports whether there is harm.
func (h Harm) Any() bool {
	return h.Queue != nil || h.Latency != nil || h.Stuck != nil || h.Errors != nil || h.Tasks != nil
}

// Evidence is one number of a judgement.
type Evidence struct {
	Code  string // such as "wait_share"; a fixed set
	Of    string // what it is of, as resp_up names it, or a view; "": the app
	Value float64
}

// Incident is one time of harm of an app, from its first sign to calm.
type Incident struct {
	ID    string
	App   string
	Start time.Time
	End   time.Time // zero: it is open
	// Cause is the first one that held for 15 seconds; "": none did.
	Cause Cause
	Peer  string
	Worst Harm
	Chain *Chain // at its worst
	// Ends is how many workers ended meanwhile, by reason as resp_worker_ends_total
	// has it.
	Ends map[string]int
	// Actions is the ids of the runs of healing that began meanwhile.
	Actions []string
	// Interrupted is whether the exporter was not running for a part of it.
	Interrupted bool
}

// LastWords is what a worker did when it ended in mid-request.
type LastWords struct {
	App, Slot string
	PID       int
	Ended     time.Time
	Reason    string // as resp_worker_ends_total has it
	Thread    Thread // as it was last sampled
	Digest    string // of the statement that it waited for; "": none
	Blocker   *Link  // the root of the chain that it waited in; nil: none
}
