package discovery

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// Snapshot is the apps at one time. It is never changed once it is returned.
type Snapshot struct {
	Time    time.Time
	Apps    []App          // by name
	Dropped int            // apps beyond the bound, since the start
	Celery  []CeleryWorker // of this host, whatever apps there are

	DroppedFDs       uint64    // descriptors beyond the bound of one process, which were not read, since the start
	DroppedProcesses uint64    // processes beyond a bound or an allowance, which were not read, since the start
	RefusedSettings  uint64    // times that a settings file of a server was there and was not read, since the start
	LeftOut          []LeftOut // users whose apps were not admitted; at most 8
}

// App is one watched application.
type App struct {
	Name        string
	Up          bool
	Configured  bool
	Server      cmdline.Server
	Class       string        // gunicorn's worker class if the command line has it, else ""
	PID         int           // of the oldest master, 0 while down
	Start       time.Time     // of the oldest master
	Workers     []Worker      // by slot
	Unslotted   int           // workers that wait for a slot
	Arrived     map[State]int // their states
	Dropped     int           // workers beyond the bound
	Unready     int           // workers that ended in the last minute before they were ready for a request; 0 while one is ready
	Restarts    float64       // workers replaced, since the exporter first saw the app
	User        float64       // seconds of CPU outside of the kernel
	System      float64       // and inside of it
	CPU         float64       // cores in use, mean of the last minute; see CPUKnown
	CPUKnown    bool
	Threads     int
	Processes   []Process // the whole tree
	Listeners   []sockdiag.Listener
	NetNS       uint64   // inode of its network namespace
	QueueErr    error    // why queues and limits are not complete
	FDs         int      // open descriptors of the process nearest to its limit; −1 unknown
	MaxFDs      uint64   // that process' limit; 0 none or unknown
	FDsErr      error    // why descriptors cannot be read
	FDsCut      bool     // a process has more than 65,536, of which the rest was not read
	StateErr    error    // why states are not known
	Cut         int      // processes beyond a bound, which are not read
	UID         uint32   // of its owner
	Strangers   []uint32 // other users whose processes match and listen too, and are no part of it; at most 8
	MatchErr    error    // why its pid file is not trusted
	MemoryErr   error    // why some process' shared memory is not known
	MemoryTaken time.Time
}

// Process is one process of an app.
type Process struct {
	PID    int
	RSS    uint64        // bytes
	Memory procfs.Memory // as last sampled; see Taken
	Taken  time.Time
}

// Worker is one worker in its slot.
type Worker struct {
	Process
	Slot   int
	Start  time.Time
	State  State
	For    time.Duration // in that state, at least; of a busy or stuck one, in its oldest request
	Detail string        // what it does, as a phrase for people
	Wait   *Wait         // what it waits for; nil unless it has been busy or stuck for a second
	// RequestThreads is its request threads as they were last sampled; nil: not
	// sampled yet.
	RequestThreads []model.Thread
	Requests       int           // requests in flight, as far as connections were read
	Spare          bool          // though it is busy or stuck, it has a thread for another request
	Heartbeat      time.Duration // age; see HasBeat
	HasBeat        bool
	HeartbeatFD    int     // the descriptor of its heartbeat file; see HasBeat
	CPUTime        float64 // seconds, of all the processes that were in this slot
	CPU            float64 // cores in use, mean of the last minute; see CPUKnown
	CPUKnown       bool
	Threads        int
	FDs            int // −1 unknown
	MaxFDs         uint64
}
