package procid

import (
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// Heartbeat is what the heartbeat file of a gunicorn worker says; the zero value: nothing.
type Heartbeat struct {
	Age   time.Duration
	Known bool // the age is known
	Never bool // it has not notified yet: the worker is still starting
}

// ReadHeartbeat returns the last heartbeat of a worker by its descriptor of the heartbeat
// file, which gunicorn unlinks and touches; the zero value if it cannot be read. Up to
// gunicorn 20.1 the ctime is the last heartbeat; newer ones set the mtime to the monotonic
// clock. A file with the mode of mkstemp (0600) and a wall-clock mtime was never touched.
func ReadHeartbeat(root string, pid, fd int, now time.Time) Heartbeat {
	st, err := procfs.StatLink(path(root, pid, "fd/"+strconv.Itoa(fd)))
	if err != nil {
		return Heartbeat{}
	}
	return heartbeatOf(&st, now)
}

// heartbeatOf returns the heartbeat by the status of a heartbeat file, which was read at
// now; the zero value if the monotonic clock cannot be read.
func heartbeatOf(st *unix.Statx_t, now time.Time) Heartbeat {
	var mono unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono); err != nil {
		return Heartbeat{}
	}
	set, changed := time.Unix(st.Mtime.Sec, int64(st.Mtime.Nsec)), time.Unix(st.Ctime.Sec, int64(st.Ctime.Nsec))
	return heartbeatFrom(uint32(st.Mode), set, changed, now, time.Duration(mono.Nano()))
}

// heartbeatFrom returns the heartbeat by the times of a heartbeat file: the ctime if its
// mode is 0 or 1, else the mtime, as monotonic clock; mono is that clock at now. The age
// is at least 0; it is not known if the file's time is a second or more ahead, and Never
// if its mtime is still a wall-clock time.
func heartbeatFrom(mode uint32, mtime, ctime time.Time, now time.Time, mono time.Duration) Heartbeat {
	if mode&0o777 <= 1 {
		age := now.Sub(ctime)
		return Heartbeat{Age: max(age, 0), Known: age > -time.Second}
	}
	set := time.Duration(mtime.UnixNano())
	if set > mono+time.Hour { // a wall-clock time: 50 years after any boot
		return Heartbeat{Never: true}
	}
	age := mono - set
	return Heartbeat{Age: max(age, 0), Known: age > -time.Second}
}

// HeartbeatFile is the heartbeat file of a worker, held open so that the last heartbeat can
// be read after the worker has ended. It can neither read nor change what is in it.
type HeartbeatFile struct{ f *os.File }

// errNoHeartbeat means that a descriptor is not a heartbeat file.
var errNoHeartbeat = errors.New("this descriptor is no heartbeat file of gunicorn")

// OpenHeartbeat opens the heartbeat file of a worker by the worker's descriptor and
// returns it; the caller closes it. errNoHeartbeat: the descriptor is of another file. The
// caller has to make sure that the pid is still that of the worker.
func OpenHeartbeat(root string, pid, fd int) (*HeartbeatFile, error) {
	at := path(root, pid, "fd/"+strconv.Itoa(fd))
	n, err := procfs.OpenRetry(at, unix.O_PATH|unix.O_CLOEXEC) // opens no device and no FIFO
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: at, Err: err}
	}
	h := &HeartbeatFile{f: os.NewFile(uintptr(n), at)}
	link, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(n)) // of this file, whatever the worker opens meanwhile
	if err == nil && !isHeartbeat(link) {
		err = errNoHeartbeat
	}
	if err == nil {
		var st unix.Statx_t
		if st, err = procfs.StatHeld(n); err == nil && (st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink != 0) {
			err = errNoHeartbeat
		}
	}
	if err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// Read returns the last heartbeat, also of a worker that has ended; the zero value if it
// cannot be read.
func (h *HeartbeatFile) Read(now time.Time) Heartbeat {
	st, err := procfs.StatHeld(int(h.f.Fd()))
	if err != nil {
		return Heartbeat{}
	}
	return heartbeatOf(&st, now)
}

// Close closes the file.
func (h *HeartbeatFile) Close() { _ = h.f.Close() }
