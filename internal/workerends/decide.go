// Package workerends finds out how each worker of a watched app that ended did end: at its
// server's timeout, by the OOM killer, by a signal, replaced in an orderly way, or with an
// exit status. It keeps a pidfd for each worker and never signals, stops or traces one.
package workerends

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
)

// Reason is how a worker ended.
type Reason string

// The reasons.
const (
	Timeout  Reason = "timeout"  // its master killed it: no heartbeat for --timeout, or a request for --harakiri
	OOM      Reason = "oom"      // the kernel's OOM killer killed it
	Signal   Reason = "signal"   // killed by any other signal
	Recycled Reason = "recycled" // it ended in an orderly way and its master continues: max_requests, a reload, recycle_worker
	Exit     Reason = "exit"     // any other exit status, and an orderly end with its master's
	Unknown  Reason = "unknown"  // the kernel does not report the exit status
)

// Reasons returns all reasons for which a worker may end, in the order in which they are
// published.
func Reasons() []Reason { return []Reason{Timeout, OOM, Signal, Recycled, Exit, Unknown} }

// Status is how a process ended, as wait(2) reports it.
type Status struct {
	Known  bool
	Code   int         // of exit(2), 0 to 255; meaningless after a signal
	Signal unix.Signal // that killed it; 0: none
}

// statusOf returns the exit status of a number as wait(2) encodes it; one that is not
// Known if it is neither an exit nor a signal.
func statusOf(n uint32) Status {
	switch s := unix.WaitStatus(n); {
	case s.Signaled():
		return Status{Known: true, Signal: s.Signal()}
	case s.Exited():
		return Status{Known: true, Code: s.ExitStatus()}
	}
	return Status{}
}

// End is what is known of the end of a worker.
type End struct {
	Status Status
	Server cmdline.Server
	Limit  time.Duration // gunicorn's --timeout, uWSGI's --harakiri; 0: none
	// As of the last look at it before it began to end:
	Busy    bool          // it had a request in hand
	Booting bool          // it had not begun to serve requests
	Request time.Duration // the age of its oldest request; 0 unless Busy
	Since   time.Duration // from that look to its end
	// As of a time when it still lived: its end, if its heartbeat file is held open, else the
	// last look that had a heartbeat.
	HasBeat   bool
	Heartbeat time.Duration // its age; of a worker that has not begun to beat the time since its start
	SinceBeat time.Duration // from that time to its end
	AtEnd     bool          // that time is its end

	OOMKills    uint64 // processes of its control group, or of the host, that the OOM killer killed since the last look
	Asked       bool   // recycle_worker has asked it to end
	MasterLives bool   // a while after its end
}

// Decide returns the reason for which a worker ended; Exit if no other fits, Unknown if
// its exit status is not known and nothing proves another.
func Decide(e End) Reason {
	switch {
	case e.OOMKills > 0 && (!e.Status.Known || e.Status.Signal == unix.SIGKILL):
		return OOM
	case e.Asked:
		return Recycled
	case e.timedOut():
		return Timeout
	case !e.Status.Known:
		return Unknown
	case e.MasterLives && e.orderly():
		return Recycled
	case e.Status.Signal != 0 && !e.orderly():
		return Signal
	}
	return Exit
}

// abortedCode is the exit status of a worker of gunicorn that still runs Python code when
// its master sends ABRT: Worker.handle_abort of gunicorn/workers/base.py calls sys.exit(1).
const abortedCode = 1

// timedOut reports whether the master ended a worker because its heartbeat or its request
// was older than the limit; false if the limit or the age is not known. If the exit status
// is not known, only an age beyond the limit at the last look proves that.
func (e *End) timedOut() bool {
	if e.Limit <= 0 {
		return false
	}
	age, since, known, byMaster := e.Heartbeat, e.SinceBeat, e.HasBeat, false
	switch e.Server { //nolint:exhaustive // the others have no limit
	case cmdline.Gunicorn: // ABRT, a second later KILL
		byMaster = e.Status.Signal == unix.SIGABRT || e.Status.Signal == unix.SIGKILL || e.Status.Signal == 0 && e.Status.Code == abortedCode
	case cmdline.UWSGI:
		age, since, known, byMaster = e.Request, e.Since, e.Busy, e.Status.Signal == unix.SIGKILL
	}
	switch {
	case !known:
		return false
	case !e.Status.Known:
		return age >= e.Limit
	case !byMaster:
		return false
	}
	if age >= e.Limit || e.AtEnd {
		return age >= e.Limit
	}
	// An idle worker beats every half limit, so that its age may reach the limit only
	// if it was busy, or well beyond that.
	return age+since >= e.Limit && (e.Busy || age >= e.Limit*3/4)
}

// orderly reports whether a worker ended as after a request to end, or after its
// max_requests; true too if its exit status is not known. SIGTERM counts too: a second one,
// which gunicorn's master sends at a reload, kills a worker that is about to exit.
func (e *End) orderly() bool {
	switch e.Status.Signal {
	case 0:
	case unix.SIGTERM, unix.SIGINT, unix.SIGQUIT, unix.SIGHUP:
		return true
	default:
		return false
	}
	if e.Server != cmdline.UWSGI {
		return e.Status.Code == 0
	}
	switch e.Status.Code {
	case 0, 15, 17, 30, 31: // uwsgi.h: UWSGI_GO_CHEAP_CODE, RELOAD_CODE, END_CODE, BRUTAL_RELOAD_CODE
		return true
	}
	return false
}

// InRequest reports whether the end of a worker, for the reason r, cut off a request as
// of the last look. An orderly end does not: the worker finishes its request first. A
// worker of gunicorn without a heartbeat for its whole timeout had one, whatever the last
// look saw.
func (e *End) InRequest(r Reason) bool {
	switch r { //nolint:exhaustive // the others are orderly, or not known
	case Timeout:
		return e.Busy || e.AtEnd && e.Server == cmdline.Gunicorn && !e.Booting
	case OOM, Signal:
		return e.Busy
	case Exit:
		return e.Busy && !e.orderly()
	}
	return false
}
