// Package appside reads what a worker says about itself: the memory file in which
// resp_flask.py keeps the requests in progress, the pools and the background tasks of its
// process. All of it is a claim of that process about its own app.
package appside

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/text"
)

// ErrShape means that a file is no memory file of a supported version.
var ErrShape = errors.New("not a memory file of resp_flask.py")

// State is what a memory file says.
type State struct {
	PID      int // of the process, as it knows itself
	Counters Counters
	Control  Control
	Garbage  Garbage
	Requests []Request // in progress, or cut off
	Pools    []Pool
	Tasks    []Task
	Sessions Sessions
	Growth   []Growth // of the last trace, the most bytes first

	Written int // slots that were left out because they were being written
	Invalid int // slots that were left out because they cannot be true
}

// Counters are counts since the process began to report. Offered are the requests that a
// throttle let through or shed.
type Counters struct {
	Requests, Unslotted, Shed, Lost, Errors, Offered uint64
	Collections                                      [3]uint64 // of cyclic garbage by generation, since the process began
	ShedBy                                           [3]uint64 // of Shed, by priority: low, normal and high
}

// Sessions is where Flask-Session keeps sessions in Redis. Lifetime 0: the app has none.
type Sessions struct {
	Prefix   string
	Lifetime time.Duration
}

// Growth is what one line has allocated during a trace and not freed.
type Growth struct {
	Run           string
	File          string
	Line          int
	Blocks, Bytes uint64
}

// Control is what a process says about its control file.
type Control struct {
	Follows   bool    // it looks for one; an older resp_flask.py does not say so
	Name      string  // of the app, as in the name of the file, cut at 56 bytes; "": none
	Refused   bool    // there is one, and it is not followed
	Throttled bool    // a throttle is in force
	Percent   float64 // that it asks for
	Share     float64 // of the requests that are shed now, 0 to 1: with a target another one
	QueueTime bool    // requests say how long they waited in the proxy, so a target can be followed

	Queued int           // requests of the last seconds that said so
	Waited time.Duration // the mean of them
}

// Garbage is the last collection of garbage that the exporter asked for.
type Garbage struct {
	Run           string // "": none yet
	Objects       uint64
	Took          time.Duration
	Before, After uint64 // resident bytes
}

// Request is a request in progress, or one that an exception which is no error has cut off:
// the end of the process, as gunicorn's timeout raises it, or that of a greenlet.
type Request struct {
	Method, Route string // "": not known
	Age           time.Duration
	Cut           bool          // it was cut off
	SinceCut      time.Duration // since then
}

// Pool is a pool of connections.
type Pool struct {
	Name                                   string
	Size, InUse, Overflow, Leaked, Waiting int  // InUse: checked out; Waiting: threads
	Idle                                   int  // connections that are open and not checked out
	Unlimited                              bool // it may have any number of connections; Overflow is 0
	Waits                                  uint64
	Waited                                 time.Duration // in all
	Oldest                                 time.Duration // the age of the oldest checkout; 0: none
	Site                                   Site          // of the oldest checkout
	LeakedThere                            int           // of Leaked, those of Site
}

// Site is where in the app a connection was checked out. Zero: not known.
type Site struct {
	File, Function string
	Line           int
	Route          string // of the request; "": none
}

// TaskState is what a background task does.
type TaskState uint8

// The states of a task.
const (
	TaskWaiting TaskState = iota + 1
	TaskRunning
	TaskBackoff   // it failed, and begins again later
	TaskElsewhere // another process runs it
	TaskStopped
)

// Task is a background task.
type Task struct {
	Name                                        string
	State                                       TaskState
	Runs, Failures, Restarts, Skipped, Progress uint64
	Beat                                        time.Duration // the age of its last sign of life
	Overdue                                     time.Duration // since the end of the pause before a run; 0: not over
	Began                                       time.Duration // since its last run began; 0: none has
	Restarted                                   string        // the last restart that was asked for and done; "": none
}

// Stalled returns for how long the task has made no progress: a run since its last sign of
// life; a task that waits, failed or runs in another process since the end of its pause, 0
// before that; 0 for a stopped one. A thread that waits wakes up at the end of its pause.
func (t *Task) Stalled() time.Duration {
	switch t.State {
	case TaskRunning:
		return t.Beat
	case TaskWaiting, TaskBackoff, TaskElsewhere:
		return t.Overdue
	case TaskStopped:
	}
	return 0
}

// Clock is the time of a read, in nanoseconds of CLOCK_MONOTONIC.
type Clock struct {
	Now    uint64
	Oldest uint64 // when the process began, or a little before
}

// age returns the age of a time, at most maxNanoseconds; false for one that cannot be: it is
// ahead, or before the process began.
func (c Clock) age(at uint64) (time.Duration, bool) {
	if at > c.Now || at < c.Oldest {
		return 0, false
	}
	return time.Duration(min(c.Now-at, maxNanoseconds)), true //nolint:gosec // it is bounded
}

// The bounds of numbers that a file may claim.
const (
	maxNanoseconds = uint64(1) << 62
	maxCount       = uint64(1) << 53 // a float64 has all whole numbers up to it
	maxConnections = uint32(1) << 20
	maxLine        = uint32(1) << 24
	maxQueued      = uint32(1) << 24
	unlimited      = ^uint32(0)
	maxHundredths  = 100 * 100 // hundredths of a percent
)

// Parse returns the state in a memory file that was read at a time; [ErrShape] if it is
// none of this version. Slots that were being written or cannot be true are left out and
// counted. It never reads outside of b, for any contents; texts are cleaned, and numbers
// are bounded.
func Parse(b []byte, c Clock) (State, error) {
	if len(b) != Size || !bytes.HasPrefix(b, []byte(magic)) {
		return State{}, ErrShape
	}
	for at, want := range map[int]uint32{8: Size, 16: requests, 20: pools, 24: tasks} {
		if u32(b, at) != want {
			return State{}, ErrShape
		}
	}
	s := State{PID: int(u32(b, 12) & 0x7fffffff)} //nolint:gosec // it has 31 bits
	for i, n := range []*uint64{&s.Counters.Requests, &s.Counters.Unslotted, &s.Counters.Shed, &s.Counters.Lost, &s.Counters.Errors, &s.Counters.Offered} {
		*n = count(b, countersAt+8*i)
	}
	for i := range s.Counters.Collections {
		s.Counters.Collections[i] = count(b, cyclesAt+8*i)
		s.Counters.ShedBy[i] = count(b, shedAt+8*i)
	}
	if seconds := u32(b, sessionsAt); seconds > 0 {
		s.Sessions = Sessions{counted(b[sessionsAt+4:], prefixMax), time.Duration(seconds) * time.Second}
	}
	s.Control = control(b)
	if s.readable(b, garbageAt) && u32(b, garbageAt) > 0 {
		s.Garbage = Garbage{Run: field(b[garbageAt+8:], runMax), Objects: count(b, garbageAt+40), Took: duration(b, garbageAt+48), Before: count(b, garbageAt+56), After: count(b, garbageAt+64)}
	}
	for i := range requests {
		s.request(b[requestsAt+i*slotSize:][:slotSize], c)
	}
	for i := range pools {
		s.pool(b[poolsAt+i*slotSize:][:slotSize], c)
	}
	for i := range tasks {
		s.task(b[tasksAt+i*slotSize:][:slotSize], c)
	}
	for i := range growths {
		s.growth(b[growthsAt+i*slotSize:][:slotSize])
	}
	return s, nil
}

// growth adds the line of a slot.
func (s *State) growth(b []byte) {
	if !s.readable(b, 0) || u32(b, 4) == 0 {
		return
	}
	x := Growth{Run: field(b[24:], runMax), File: counted(b[56:], fileMax), Line: int(min(u32(b, 8), maxLine)), Blocks: uint64(u32(b, 12)), Bytes: count(b, 16)}
	if u32(b, 4) != 1 || x.Run == "" || x.File == "" {
		s.Invalid++
		return
	}
	s.Growth = append(s.Growth, x)
}

// control returns what a process reports about its control file, with numbers cut to their
// bounds.
func control(b []byte) Control {
	flags := u32(b, controlAt)
	has := func(flag uint32) bool { return flags&flag != 0 }
	return Control{
		Follows: has(flagFollows), Name: field(b[nameAt:], nameMax), Refused: has(flagRefused), Throttled: has(flagThrottled), QueueTime: has(flagQueueTime),
		Percent: float64(min(u32(b, controlAt+4), maxHundredths)) / 100, Share: float64(min(u32(b, controlAt+8), maxHundredths)) / maxHundredths,
		Queued: int(min(u32(b, queueAt), maxQueued)), Waited: time.Duration(u32(b, queueAt+4)) * time.Microsecond,
	}
}

// readable reports whether a slot was not being written, and counts it otherwise.
func (s *State) readable(b []byte, at int) bool {
	if u32(b, at)%2 == 1 {
		s.Written++
		return false
	}
	return true
}

// request adds the request of a slot.
func (s *State) request(b []byte, c Clock) {
	if !s.readable(b, 0) || u32(b, 4) == 0 {
		return
	}
	age, ok := c.age(u64(b, 8))
	if u32(b, 4) > cutOff || !ok {
		s.Invalid++
		return
	}
	r := Request{Method: field(b[16:], methodMax), Route: counted(b[32:], routeMax), Age: age}
	if r.Cut = u32(b, 4) == cutOff; r.Cut {
		if r.SinceCut, ok = c.age(u64(b, cutAt)); !ok {
			s.Invalid++
			return
		}
	}
	s.Requests = append(s.Requests, r)
}

// pool adds the pool of a slot. A pool whose oldest checkout has a time that cannot be has
// none.
func (s *State) pool(b []byte, c Clock) {
	if !s.readable(b, 0) || u32(b, 4) == 0 {
		return
	}
	p := Pool{Name: field(b[8:], poolMax), Waits: count(b, 64), Waited: duration(b, 72)}
	if u32(b, 4) != 1 || p.Name == "" {
		s.Invalid++
		return
	}
	for i, n := range []*int{&p.Size, &p.InUse, &p.Overflow, &p.Leaked, &p.Waiting} {
		*n = int(min(u32(b, 40+4*i), maxConnections))
	}
	if u32(b, 48) == unlimited {
		p.Overflow, p.Unlimited = 0, true
	}
	p.Leaked = min(p.Leaked, p.InUse)
	p.Idle = int(min(u32(b, 60), maxConnections))
	if age, ok := c.age(u64(b, 80)); ok && p.InUse > 0 {
		p.Oldest, p.Site = age, site(b[92:])
		p.LeakedThere = min(int(u32(b, 88)), p.Leaked)
	}
	s.Pools = append(s.Pools, p)
}

// site parses a Site: its line (4 bytes; at most maxLine), the length of its text (2 bytes), and
// the text, cut to siteMax bytes: file, function and route, with a zero byte between them, which
// are cleaned. It is the zero Site if there is no file.
func site(b []byte) Site {
	n := min(int(binary.LittleEndian.Uint16(b[4:])), siteMax)
	file, rest, _ := bytes.Cut(b[6:6+n], []byte{0})
	function, route, _ := bytes.Cut(rest, []byte{0})
	if len(file) == 0 {
		return Site{}
	}
	return Site{
		File: text.Label(string(file), siteMax), Function: text.Label(string(function), siteMax),
		Line: int(min(u32(b, 0), maxLine)), Route: text.Label(string(route), siteMax),
	}
}

// task adds the task of a slot.
func (s *State) task(b []byte, c Clock) {
	if !s.readable(b, 0) || u32(b, 4) == 0 {
		return
	}
	t := Task{Name: field(b[8:], taskMax)}
	beat, ok := c.age(u64(b, 96))
	if state := u32(b, 4); !ok || state > uint32(TaskStopped) || t.Name == "" {
		s.Invalid++
		return
	}
	t.State, t.Beat = TaskState(b[4]), beat
	for i, n := range []*uint64{&t.Runs, &t.Failures, &t.Restarts, &t.Skipped, &t.Progress} {
		*n = count(b, 56+8*i)
	}
	t.Overdue, _ = c.age(u64(b, 104)) // it may be ahead
	t.Began, _ = c.age(u64(b, 112))
	t.Restarted = field(b[120:], runMax)
	s.Tasks = append(s.Tasks, t)
}

// u32 returns the number of 4 bytes at an offset, least byte first.
func u32(b []byte, at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }

// u64 returns the number of 8 bytes at an offset, least byte first.
func u64(b []byte, at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }

// count returns the count of 8 bytes at an offset, at most maxCount.
func count(b []byte, at int) uint64 { return min(u64(b, at), maxCount) }

// duration returns the nanoseconds of 8 bytes at an offset, at most maxNanoseconds.
func duration(b []byte, at int) time.Duration {
	return time.Duration(min(u64(b, at), maxNanoseconds)) //nolint:gosec // it is bounded
}

// field returns the text of a field of that many bytes, up to its first zero byte, cleaned.
func field(b []byte, most int) string {
	b = b[:most]
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return text.Label(string(b), most)
}

// counted returns the text of a field that begins with its length, cut at that many bytes
// and cleaned.
func counted(b []byte, most int) string {
	n := min(int(binary.LittleEndian.Uint16(b)), most)
	return text.Label(string(b[2:2+n]), most)
}
