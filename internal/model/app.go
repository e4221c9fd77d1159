package model

// App is one app as its processes show it.
type App struct {
	Name          string
	Up            bool
	Server, Class string   // "gunicorn", "sync"; "": not known
	Started       *float64 // Unix time of its oldest master
	CPU           *float64 // of what its control group allows it, or of all cores, over the last minute
	Threads       *float64
	OpenFDs       *float64 // of the process that is nearest to its limit
	MaxFDs        *float64 // the limit of that process
	Restarts      float64  // workers that took the place of another, since the exporter first saw the app
	Workers       []WorkerProcess
}

// WorkerProcess is the process in one slot of a worker.
type WorkerProcess struct {
	Slot    string
	CPU     *float64 // cores, over the last minute
	Started float64  // Unix time
}

// AppMemory is the memory of one app, in bytes.
type AppMemory struct {
	App                 string
	RSS, PSS, USS, Swap *float64
	Limit               *float64
	Usage               *float64 // of Limit
	Workers             []WorkerMemory
}

// WorkerMemory is the memory of one worker, in bytes. PSS, USS and Swap are
// sampled in the background; they are 0 until Sampled.
type WorkerMemory struct {
	Slot           string
	RSS            float64
	Sampled        bool
	PSS, USS, Swap float64
}

// MemoryLeak is whether one worker leaks memory. The numbers are nil unless it is
// suspected.
type MemoryLeak struct {
	App, Slot  string
	Suspected  bool
	Slope      *float64 // bytes a second
	Confidence *float64 // share of the growth that lasts, at least
	PerRequest *float64 // bytes; nil: requests are not reported
	ToLimit    *float64 // seconds until the app's memory reaches its limit
}

// LeakView is a view in which an app that is suspected of a leak loses memory.
type LeakView struct {
	App, View  string
	Growth     float64 // bytes a second, of all workers
	Error      float64 // of Growth: one standard error
	PerRequest float64 // bytes
}

// HeapCensus is what censuses of the heap of a Python worker that is suspected of a leak
// have shown. Its names are those of the process: claims of a stranger, cleaned.
type HeapCensus struct {
	App, Slot string
	Outcome   HeapOutcome
	Reason    HeapReason // of HeapUnknown
	Censuses  int        // that were taken
	Seconds   float64    // between the first and the last one
	Objects   float64    // at the last one
	CPU       float64    // seconds that all of it took the exporter
	Growth    float64    // of the anonymous memory between the first and the last one, in bytes
	// Types and Containers are those that grow and may explain a share of Growth by
	// themselves, the ones that tell most first.
	Types      []HeapGrowth
	Containers []HeapGrowth
}

// HeapGrowth is a type whose objects become more, or a container whose items do.
type HeapGrowth struct {
	Name    string  // "": the place of the container was not found
	Kind    string  // of the container: list, dict, set, tuple, deque or lru_cache
	Of      string  // type of its newest items; "": not known
	Count   float64 // objects or items at the last census
	PerHour float64
}

// HeapOutcome is what censuses have come to.
type HeapOutcome string

// The outcomes.
const (
	HeapPending   HeapOutcome = "pending"    // not all censuses were taken yet
	HeapGrows     HeapOutcome = "grows"      // the counted objects explain the growth
	HeapNotPython HeapOutcome = "not_python" // they do not: it may be in buffers or texts, which are not counted, or outside of Python
	HeapSteady    HeapOutcome = "steady"     // the memory has not grown meanwhile
	HeapUnknown   HeapOutcome = "unknown"    // there was no census
)

// HeapReason is why there was no census.
type HeapReason string

// The reasons.
const (
	HeapAwake       HeapReason = "awake"       // never did all threads stand still for long enough
	HeapLayout      HeapReason = "layout"      // the collector's lists are not where they should be, or do not hold together
	HeapUnsupported HeapReason = "unsupported" // no CPython that can be read
	HeapPermission  HeapReason = "permission"
	HeapTooMuch     HeapReason = "too_much" // more objects or time than a census may take
	HeapEnded       HeapReason = "ended"    // the process ended
	HeapHung        HeapReason = "hung"     // a read of its memory did not return
)

// AppWorkers is what the workers of one app do.
type AppWorkers struct {
	App     string
	Counts  *WorkerCounts // nil: the state of one at least is not known
	Spare   float64       // busy or stuck workers that have a thread for another request
	Unready float64       // workers that ended in the last minute, none of which was ready for a request
	Workers []Worker
}

// WorkerCounts is how many workers are in each state.
type WorkerCounts struct{ Busy, Idle, Stuck, Booting float64 }

// Worker is what one worker does.
type Worker struct {
	Slot      string
	PID       int
	State     string // "busy", "idle", "stuck", "booting"; "": not known
	Detail    string // where it waits, as the kernel names it
	Seconds   float64
	Heartbeat *float64 // age of its last one
	Wait      *Wait    // nil: it waits for nothing, or it is not known
	Threads   []Thread // its request threads; of one process-wide request thread the main one
}

// Wait is what a worker waits for in its request.
type Wait struct {
	On   string // mysql, redis, upstream, client, lock, disk, sleep, child, cpu, other
	Peer string // "mysql:main", "10.0.0.9:443", "app:blog"; "": none
}

// AppWaits is how much the request threads of one app are used.
type AppWaits struct {
	App         string
	Utilization *float64 // part of their time with a request, over the last minute
	Saturation  *float64 // requests per second at which they would always have one; nil: not known, or it has event loops
	QueueWait   *float64 // seconds that a new connection waits to be accepted
	InFlight    *float64 // requests that workers work on
	Oldest      *float64 // age of the oldest of them, in seconds, at least; 0 without one

	// Spent is the seconds of its request threads since the exporter first saw it, by
	// what they did or waited for, as Thread.On; nil: not known.
	Spent   map[string]float64
	Blocked *float64 // seconds that its event loops did not return to their poll; nil: it has none
}

// AppListeners is the listening sockets of one app.
type AppListeners struct {
	App         string
	Overflows5m *float64 // connections refused in the last 5 minutes, in the app's network namespace
	Listeners   []Listener
}

// Listener is the accept queue of the sockets at one address.
type Listener struct {
	Name          string
	Length, Limit *float64 // connections
	Fullness      *float64 // length of limit, of the fullest socket; nil: not known, or no limit
}

// AppRequests is what the server of one app reported of its requests.
type AppRequests struct {
	App           string
	Rate          *float64 // per second, over the last minute
	ErrorRatio    *float64 // of 5xx that no throttle shed, over 5 minutes
	Mean          *float64 // seconds, over 5 minutes
	Slow5m        *float64
	P50, P95, P99 *float64 // seconds, over the last minute
	Errors        *float64 // 5xx since the first report of the app
	Total         *float64 // requests since then
	// Timed and Seconds are how many requests since then had a duration, and the sum of
	// these, in seconds.
	Timed, Seconds *float64

	// How much was counted for ErrorRatio and Mean: requests, those that failed, and
	// those of which the duration is known. Shed5m: those that a throttle shed, which are
	// not in Errors5m; nil if there are none.
	Requests5m, Errors5m, Timed5m, Shed5m *float64
	// The same ratio and mean over the last minute, and how much was counted for them.
	LastErrorRatio, LastMean *float64
	LastRequests, LastTimed  *float64
}
