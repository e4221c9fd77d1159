package discovery

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// Snapshot is the apps at one moment. It is never changed once it is given out.
type Snapshot struct {
	Time    time.Time
	Apps    []App          // by name
	Dropped int            // apps over the bound, since the start
	Celery  []CeleryWorker // of this host, whatever apps there are

	DroppedFDs       uint64    // descriptors over the bound of one process, which were not looked at, since the start
	DroppedProcesses uint64    // processes over a bound or an allowance, which were not read, since the start
	LeftOut          []LeftOut // whose apps have no place; at most 8 users
}

// App is one watched application.
type App struct {
	Name        string
	Up          bool
	Configured  bool
	Server      cmdline.Server
	Class       string        // gunicorn's worker class where the command line tells, else ""
	PID         int           // of the oldest master, 0 while down
	Start       time.Time     // of the oldest master
	Workers     []Worker      // by slot
	Unslotted   int           // workers that wait for a slot to come free
	Arrived     map[State]int // their states
	Dropped     int           // workers over the bound
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
	FDsCut      bool     // a process has more than 65,536, of which the rest was not looked at
	StateErr    error    // why states cannot be told
	Cut         int      // processes over a bound, which are not looked at
	UID         uint32   // whose it is
	Strangers   []uint32 // other users whose processes match too, listen and are left out; at most 8
	MatchErr    error    // why what its match names is not believed
	MemoryErr   error    // why some process' shared memory is not known
	MemoryTaken time.Time
}

// Process is one process of an app's tree.
type Process struct {
	PID    int
	RSS    uint64        // bytes
	Memory procfs.Memory // as last sampled; see Taken
	Taken  time.Time
}

// Worker is one worker in its slot.
type Worker struct {
	Process
	Slot      int
	Start     time.Time
	State     State
	For       time.Duration // in that state, at least; of a busy or stuck one, in its oldest request
	Detail    string        // what its main thread does, in words
	Wait      *Wait         // what it waits for; nil unless it has been busy or stuck for a second
	Requests  int           // connections in hand, as far as they were looked at
	Spare     bool          // though it is busy or stuck, it has a thread for another request
	Heartbeat time.Duration // age; see HasBeat
	HasBeat   bool
	CPUTime   float64 // seconds, of all the processes that were in this slot
	CPU       float64 // cores in use, mean of the last minute; see CPUKnown
	CPUKnown  bool
	Threads   int
	FDs       int // −1 unknown
	MaxFDs    uint64
}
