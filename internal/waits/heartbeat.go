package waits

import (
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
)

// beat is what gunicorn's heartbeat file says of a worker.
type beat struct {
	age   time.Duration
	ok    bool // the age is known
	never bool // it has not notified yet: the worker is still starting
}

// heartbeat reads the unlinked file that a gunicorn worker touches
// (gunicorn/workers/workertmp.py). Up to 20.1 notify() changes the mode
// between 0 and 1, so its ctime on the wall clock is the last beat; newer ones
// set its mtime to the monotonic clock. A file with the mode that mkstemp gave
// it (0600) and a wall-clock mtime was never touched.
func (w *Inspector) heartbeat(p *table.Process, now time.Time) beat {
	if p.FDs().Heartbeat < 0 {
		return beat{}
	}
	var st unix.Stat_t
	if err := unix.Stat(w.table.FS.Path(p.PID, "fd/"+strconv.Itoa(p.FDs().Heartbeat)), &st); err != nil {
		return beat{}
	}
	var mono unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono); err != nil {
		return beat{}
	}
	return beatOf(st.Mode, st.Mtim, st.Ctim, now, time.Duration(mono.Nano()))
}

// beatOf judges the file's mode and times.
func beatOf(mode uint32, mtime, ctime unix.Timespec, now time.Time, mono time.Duration) beat {
	if mode&0o777 <= 1 {
		age := now.Sub(time.Unix(ctime.Unix()))
		return beat{age: max(age, 0), ok: age > -time.Second}
	}
	set := time.Duration(mtime.Nano())
	if set > mono+time.Hour { // a wall-clock time: 50 years after any boot
		return beat{never: true}
	}
	age := mono - set
	return beat{age: max(age, 0), ok: age > -time.Second}
}
