package control

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/ticks"
)

// every is how often what is over is removed.
const every = time.Second

// Writer writes the control files of a directory, which it locks as soon as it asks
// anything of an app. Its methods may be called by several goroutines.
type Writer struct {
	path string // of the directory; "": off
	log  *slog.Logger

	mu     sync.Mutex
	dir    *directory // nil: not open
	asked  map[string]Asked
	stale  map[string]bool // apps whose file could not be written or removed
	failed bool            // the last write failed
	locked bool            // another exporter had the directory when its files were to be removed
	closed bool
	stats  Stats
}

// Stats is what a [Writer] has done since its start.
type Stats struct {
	Files    int    // as they are now
	Failures uint64 // writes and removals that failed
	Restored uint64 // files of an exporter that had ended, removed at the start
}

// New returns a Writer of a directory; with "" it writes no requests. It opens nothing
// yet.
func New(path string, log *slog.Logger) *Writer {
	return &Writer{path: path, log: logs.Or(log), asked: make(map[string]Asked), stale: make(map[string]bool)}
}

// Check returns why the file of an app could not be written: [ErrName], [ErrOff],
// [ErrClosed], or what is wrong with the directory; nil if none is the case. It changes
// nothing, and does not see that there are too many apps or that another exporter has the
// directory.
func (w *Writer) Check(app string) error {
	if err := CheckName(app); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.path == "":
		return ErrOff
	case w.closed:
		return ErrClosed
	case w.dir != nil && w.dir.held(w.path):
		return nil
	}
	return probe(w.path)
}

// SetThrottle writes a request to an app to shed requests, or extends it. With an error
// nothing changes.
func (w *Writer) SetThrottle(app string, t Throttle) error {
	return w.change(app, func(a *Asked) { a.Throttle = &t })
}

// EndThrottle removes the request to shed requests. On an error the file stays until the
// next try, and the app sheds requests at most until the request expires.
func (w *Writer) EndThrottle(app string) error {
	return w.change(app, func(a *Asked) { a.Throttle = nil })
}

// SetGarbage writes a request to the workers of an app to collect garbage. With an error they
// are not asked.
func (w *Writer) SetGarbage(app string, g Garbage) error {
	return w.change(app, func(a *Asked) { a.Garbage = &g })
}

// EndGarbage removes the request to collect garbage if it is of the run; nil if there is
// none of the run.
func (w *Writer) EndGarbage(app, run string) error {
	return w.change(app, func(a *Asked) {
		if a.Garbage != nil && a.Garbage.Run == run {
			a.Garbage = nil
		}
	})
}

// SetRestart writes the request that a worker of an app restarts a task. With an error it is
// not asked.
func (w *Writer) SetRestart(app string, r RestartTask) error {
	return w.change(app, func(a *Asked) { a.Restart = &r })
}

// EndRestart removes the request to restart a task if it is of the run; nil if there is
// none of the run.
func (w *Writer) EndRestart(app, run string) error {
	return w.change(app, func(a *Asked) {
		if a.Restart != nil && a.Restart.Run == run {
			a.Restart = nil
		}
	})
}

// SetTrace writes the request that a worker of an app traces its memory. With an error it is
// not asked.
func (w *Writer) SetTrace(app string, t Trace) error {
	return w.change(app, func(a *Asked) { a.Trace = &t })
}

// EndTrace removes the request to trace the memory if it is of the run; nil if there is
// none of the run.
func (w *Writer) EndTrace(app, run string) error {
	return w.change(app, func(a *Asked) {
		if a.Trace != nil && a.Trace.Run == run {
			a.Trace = nil
		}
	})
}

// Asked returns the requests to an app that have not expired; all parts are nil if there
// are none. The caller must not change the parts.
func (w *Writer) Asked(app string) Asked {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[app].without(time.Now())
}

// Shared returns by app the document, as JSON, of what is asked of all its workers,
// wherever they run: to shed requests and to collect garbage. Apps of which neither is
// asked have none.
func (w *Writer) Shared() map[string][]byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	out, now := make(map[string][]byte), time.Now()
	for app, a := range w.asked {
		a = a.without(now)
		if a = (Asked{Throttle: a.Throttle, Garbage: a.Garbage}); a.empty() {
			continue
		}
		if data, err := a.encode(); err == nil { // as of the file, which is written before
			out[app] = data
		}
	}
	return out
}

// Stats returns the counters. Its Files is the number of apps of which something is asked.
func (w *Writer) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.stats
	s.Files = len(w.asked)
	return s
}

// change changes the requests to an app and writes its file; if nothing changes it does
// neither. With ErrName, ErrBounds, ErrClosed, ErrOff or ErrFull nothing changes. After an
// error of writing an added request is not kept, and one that was removed is not asked any
// more, though its file may stay until the next try.
func (w *Writer) change(app string, f func(*Asked)) error {
	if err := CheckName(app); err != nil {
		return err
	}
	for range lockTries - 1 {
		if err := w.changeOnce(app, f, false); !errors.Is(err, ErrLocked) {
			return err
		}
		time.Sleep(lockPause) // without w.mu: a scrape does not wait
	}
	return w.changeOnce(app, f, true)
}

// changeOnce is a try of change. If another process has the lock of the directory, it
// returns [ErrLocked], and unless it is the last try nothing is counted or logged.
func (w *Writer) changeOnce(app string, f func(*Asked), last bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	before, had := w.asked[app]
	next := before.without(now)
	f(&next)
	err := next.check(now)
	switch {
	case err != nil:
		return err
	case next == before:
		return nil
	case w.closed:
		return ErrClosed
	case w.path == "":
		return ErrOff
	case !had && len(w.asked) >= maxApps:
		return ErrFull
	}
	if !last && !next.empty() {
		if err := w.open(); errors.Is(err, ErrLocked) {
			return err
		}
	}
	err = w.write(app, next)
	if less := next.parts() < before.without(now).parts(); err != nil && !less {
		return err
	}
	w.keep(app, next)
	return err
}

// parts returns how many of the four requests there are, also those that have expired.
func (a Asked) parts() (n int) {
	for _, there := range []bool{a.Throttle != nil, a.Garbage != nil, a.Restart != nil, a.Trace != nil} {
		if there {
			n++
		}
	}
	return n
}

// keep stores the requests to an app.
func (w *Writer) keep(app string, a Asked) {
	if a.empty() {
		delete(w.asked, app)
	} else {
		w.asked[app] = a
	}
}

// write replaces the file of an app by its current requests, or removes it if there are
// none.
func (w *Writer) write(app string, a Asked) error {
	if a.empty() && w.dir == nil { // nothing is written yet
		delete(w.stale, app)
		return nil
	}
	err := w.open()
	if err == nil {
		err = w.dir.put(app, a)
	}
	if err == nil {
		delete(w.stale, app)
	} else {
		w.stale[app] = true
		w.stats.Failures++
	}
	if failed := err != nil; failed != w.failed {
		w.failed = failed
		if failed {
			w.log.Error("Control file not written", "app", app, "dir", w.path, "err", err)
		} else {
			w.log.Info("Control files are written again", "dir", w.path)
		}
	}
	return err
}

// open opens and locks the directory, also when another one has its path by now. All
// files are written into that.
func (w *Writer) open() error {
	if w.dir != nil && w.dir.held(w.path) {
		return nil
	}
	if w.dir != nil {
		w.dir.close()
		w.dir = nil
	}
	d, err := openDirectory(w.path)
	if err != nil {
		return err
	}
	w.dir = d
	for app := range w.asked {
		w.stale[app] = true
	}
	return nil
}

// Run removes the files that an ended exporter left behind, then requests as they expire,
// and when ctx ends all files. It returns nil, at once without a directory.
func (w *Writer) Run(ctx context.Context) error {
	if w.path == "" {
		return nil
	}
	w.restore()
	t := ticks.New(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			w.close()
			return nil
		case <-t.C:
			t.Again()
			w.expire(time.Now())
		}
	}
}

// restore removes the files of an exporter that has ended. While one that runs has the
// directory, it is tried again.
func (w *Writer) restore() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.restoreLocked()
}

// restoreLocked removes the control files that an exporter has left which has ended. The
// lock is held.
func (w *Writer) restoreLocked() {
	w.locked = false
	if w.dir != nil { // its files are this exporter's
		return
	}
	d, err := openExisting(w.path)
	if w.locked = errors.Is(err, ErrLocked); w.locked || errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		var n int
		n, err = d.clear()
		w.stats.Restored += uint64(n) //nolint:gosec // a number of files
		d.close()
		if n > 0 {
			w.log.Warn("Control files of an exporter that has ended removed", "dir", w.path, "files", n)
		}
	}
	if err != nil && !errors.Is(err, os.ErrPermission) {
		w.stats.Failures++
		w.log.Warn("Control files of an exporter that has ended not removed", "dir", w.path, "err", err)
	}
}

// expire removes expired requests, and writes again the files that could not be written.
func (w *Writer) expire(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.locked {
		w.restoreLocked()
	}
	for app, a := range w.asked {
		if left := a.without(now); left != a {
			w.keep(app, left)
			w.stale[app] = true
		}
	}
	if w.dir != nil && !w.dir.held(w.path) { // somebody removed it
		for app := range w.asked {
			w.stale[app] = true
		}
	}
	for app := range w.stale {
		_ = w.write(app, w.asked[app]) // counted and logged
	}
}

// close removes all files.
func (w *Writer) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for app := range w.asked {
		w.keep(app, Asked{})
		w.stale[app] = true
	}
	for app := range w.stale {
		_ = w.write(app, Asked{}) // counted and logged
	}
	if w.dir != nil {
		w.dir.close()
		w.dir = nil
	}
}
