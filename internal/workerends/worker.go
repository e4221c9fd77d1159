package workerends

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/cgroup"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/procid"
)

// worker is a worker that is watched.
type worker struct {
	app       string
	uid       uint32
	server    cmdline.Server
	pid       int
	began     time.Time
	handle    *handle // nil: none could be opened
	master    procid.Identity
	group     string // key of its control group; "": not known
	groupPath cgroup.Group
	limit     time.Duration

	seen  time.Time // the last look that had it
	looks []seenBusy
	beat  beat
	file  *procid.HeartbeatFile // that of gunicorn, held open; nil: none
	done  bool                  // its end was noticed
}

// seenBusy is whether a worker had a request in hand at one look.
type seenBusy struct {
	at      time.Time
	busy    bool
	booting bool          // it had not begun to serve requests
	request time.Duration // the age of its oldest request
}

// lastBeat returns the heartbeat of a worker that ended between from and to, as it was at
// from, by its open file. exact: it is known of the end itself. If the file cannot be
// read, it is the heartbeat of the last look that had one.
func (x *worker) lastBeat(from, to time.Time) (b beat, exact bool) {
	if x.file == nil {
		return x.beat, false
	}
	now := time.Now()
	h := x.file.Read(now)
	if !h.Known {
		return x.beat, false
	}
	age := h.Age - max(now.Sub(from), 0)
	if age < 0 { // it has beaten since
		return beat{from.Add(-age), 0}, from.Equal(to)
	}
	return beat{from, age}, from.Equal(to)
}

// beat is the age of a heartbeat at one time.
type beat struct {
	at  time.Time // zero: there was none
	age time.Duration
}

// endingTime is how long a worker may take from a signal to its end: it closes its request
// and its heartbeat file meanwhile, so that a look in this time says nothing about it.
const endingTime = time.Second

// note adds what a worker does at a look to its looks. It keeps the last one that is
// older than endingTime, and some of the later ones.
func (x *worker) note(now seenBusy) {
	const most = 8
	for len(x.looks) > 1 && now.at.Sub(x.looks[1].at) >= endingTime {
		x.looks = x.looks[1:]
	}
	if len(x.looks) == most {
		x.looks = x.looks[:most-1]
	}
	x.looks = append(x.looks, now)
}

// before returns the last look at a worker that was 1 s or more before its end; if all
// were later, the first that is kept, and the zero look if there is none.
func (x *worker) before(end time.Time) (out seenBusy) {
	for i, l := range x.looks {
		if i == 0 || end.Sub(l.at) >= endingTime {
			out = l
		}
	}
	return out
}
