package collectors

import (
	"errors"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/ingest"
	"github.com/resp-exporter/resp-exporter/internal/ingest/statsd"
)

// heardFor is how long after the last report of an app's own side through a listener the lines
// count that a worker has left unsent. A worker that hangs is ended minutes later.
const heardFor = 10 * time.Minute

// unsentLines is the number of lines that workers had left unsent, by what they are.
type unsentLines struct{ parsed, unknown, malformed uint64 }

// CountLast counts what a worker of a watched app, which has ended, has said last: the requests
// that its end cut off, and the lines that it had not sent, as if it had.
func (r *Requests) CountLast(app string, pid int, last *appside.Last) {
	for _, u := range last.Unsent {
		r.countUnsent(app, ingest.Source{PID: int32(pid), UID: u.UID, Proven: true}, u.Lines) //nolint:gosec // the kernel's pids have 22 bits
	}
	r.CountKilled(app, last.Requests)
}

// countUnsent counts lines that a worker of an app has left in its memory file. Those of apps
// whose own side does not report here are ignored: they were meant for another receiver.
func (r *Requests) countUnsent(app string, from ingest.Source, lines []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var line statsd.Line
	p := statsd.Packet(lines)
	for text, ok := p.Next(); ok; text, ok = p.Next() {
		switch err := statsd.Parse(text, &line); {
		case err == nil:
			r.countUnsentLine(app, from, &line)
		case !r.hears(app):
		case errors.Is(err, statsd.ErrUnknown):
			r.limits.unsent.unknown++
		default:
			r.limits.unsent.malformed++
		}
	}
}

// countUnsentLine counts the events of one line, for the app that it names, else for the
// worker's own. A file of root proves nothing about other apps: a worker that has given up root
// since keeps the file that it had made before.
func (r *Requests) countUnsentLine(app string, from ingest.Source, line *statsd.Line) {
	for e := (ingest.Event{}); line.Next(&e); {
		if len(e.App) == 0 {
			e.App = []byte(app) // its process cannot be found any more
		}
		if !r.hears(string(e.App)) {
			return
		}
		if !e.Again {
			r.limits.unsent.parsed++
		}
		switch {
		case e.Kind == ingest.Ignored:
		case from.UID != 0 || string(e.App) == app:
			r.count(&e, from)
		case !e.Again:
			r.limits.untrusted++
		}
	}
}

// hears reports whether the own side of an app has reported in the last ten minutes
// through a listener; false for an app without an account.
func (r *Requests) hears(app string) bool {
	a := r.accounts.apps[app]
	return a != nil && (a.heard || !a.heardAt.IsZero() && r.o.Now().Sub(a.heardAt) <= heardFor)
}
