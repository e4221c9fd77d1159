package waits

import (
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
)

// heartbeat is the heartbeat of a worker by gunicorn's heartbeat file.
type heartbeat struct {
	age   time.Duration
	ok    bool // the age is known
	never bool // it has not notified yet: the worker is still starting
}

// heartbeat returns the heartbeat by the unlinked file that a gunicorn worker touches
// (gunicorn/workers/workertmp.py); the zero value without one. Up to gunicorn 20.1
// notify() changes the mode between 0 and 1, so that its ctime on the wall clock
// is the last heartbeat; newer ones set its mtime to the monotonic clock. A file
// with the mode of mkstemp (0600) and a wall-clock mtime was never touched.
func (w *Inspector) heartbeat(p *table.Process, now time.Time) heartbeat {
	if p.FDs().Heartbeat < 0 {
		return heartbeat{}
	}
	var st unix.Stat_t
	if err := unix.Stat(w.table.FS.Path(p.PID, "fd/"+strconv.Itoa(p.FDs().Heartbeat)), &st); err != nil {
		return heartbeat{}
	}
	var mono unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono); err != nil {
		return heartbeat{}
	}
	return heartbeatFrom(st.Mode, st.Mtim, st.Ctim, now, time.Duration(mono.Nano()))
}

// heartbeatFrom returns the heartbeat by the mode and the times of the file.
func heartbeatFrom(mode uint32, mtime, ctime unix.Timespec, now time.Time, mono time.Duration) heartbeat {
	if mode&0o777 <= 1 {
		age := now.Sub(time.Unix(ctime.Unix()))
		return heartbeat{age: max(age, 0), ok: age > -time.Second}
	}
	set := time.Duration(mtime.Nano())
	if set > mono+time.Hour { // a wall-clock time: 50 years after any boot
		return heartbeat{never: true}
	}
	age := mono - set
	return heartbeat{age: max(age, 0), ok: age > -time.Second}
}
