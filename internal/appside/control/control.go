// Package control writes what the exporter asks of an app into a file that resp_flask.py
// follows: one for each app, in a directory of the exporter. All that is asked ends by
// itself, at a time that is in the file.
package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/text"
)

// The bounds of what may be asked, as resp_flask.py has them.
const (
	MaxPercent = 95
	// MaxThrottle is how far ahead the end of a throttle may lie, MaxAhead that of the rest.
	MaxThrottle = 30 * time.Minute
	MaxAhead    = time.Hour
	MaxStagger  = time.Minute
	MaxTrace    = time.Minute
	maxTarget   = time.Hour
	maxRun      = 32 // bytes of a run's id
	maxTask     = 48 // bytes of a task's name
	maxApps     = 256
)

// Errors of a [Writer].
var (
	ErrOff    = errors.New("no directory of control files is set")
	ErrLocked = errors.New("another exporter writes the control files")
	ErrName   = errors.New("the name of the app is not made of 1 to 64 of A-Z a-z 0-9 . _ : @ ~ -, so it can have no control file")
	ErrFull   = fmt.Errorf("%d apps have a control file already", maxApps)
	ErrBounds = errors.New("what is asked of the app is out of its bounds")
	ErrClosed = errors.New("the exporter ends")
)

// appName matches the names that resp_flask.py accepts.
var appName = regexp.MustCompile(`^[A-Za-z0-9_:@~-][A-Za-z0-9._:@~-]*$`)

// CheckName returns [ErrName] for a name that is empty, longer than 64 characters, begins
// with a dot or has others than letters and digits of ASCII and . _ : @ ~ -; nil for any
// other.
func CheckName(app string) error {
	if !text.Matches(appName, app, 64) {
		return ErrName
	}
	return nil
}

// Throttle is the request to an app to shed requests.
type Throttle struct {
	Percent float64       // of the requests, 0 to MaxPercent
	Target  time.Duration // for the time in the proxy's queue; 0: none, the percentage counts
	Until   time.Time
}

// Garbage is the request to each worker of an app to collect garbage once.
type Garbage struct {
	Run     string // its id: a worker does each run once
	Until   time.Time
	Stagger time.Duration // each worker begins at a random time within it
}

// RestartTask is the request to one worker of an app to restart a background task once.
type RestartTask struct {
	Run   string // its id
	Task  string // as the worker reports it
	PID   int    // of the worker, as it knows itself
	Until time.Time
}

// Trace is the request to one worker of an app to trace which lines allocate memory that
// stays.
type Trace struct {
	Run   string        // its id
	PID   int           // of the worker, as it knows itself
	For   time.Duration // how long
	Until time.Time     // after that it ends without a result
}

// Asked is all that is asked of one app. Nil parts are not asked.
type Asked struct {
	Throttle *Throttle
	Garbage  *Garbage
	Restart  *RestartTask
	Trace    *Trace
}

// empty reports whether there is no request to the app.
func (a Asked) empty() bool { return a == Asked{} }

// without returns the requests that have not expired at a time; those that have are nil in
// it.
func (a Asked) without(now time.Time) Asked {
	if a.Throttle != nil && !now.Before(a.Throttle.Until) {
		a.Throttle = nil
	}
	if a.Garbage != nil && !now.Before(a.Garbage.Until) {
		a.Garbage = nil
	}
	if a.Restart != nil && !now.Before(a.Restart.Until) {
		a.Restart = nil
	}
	if a.Trace != nil && !now.Before(a.Trace.Until) {
		a.Trace = nil
	}
	return a
}

// check returns [ErrBounds] if a value is out of the bounds of resp_flask.py, or an Until
// too far ahead, else nil. A time that has passed is within them.
func (a Asked) check(now time.Time) error {
	ahead := func(until time.Time, most time.Duration) bool { return until.Sub(now) <= most }
	ok := true
	if t := a.Throttle; t != nil {
		ok = ok && t.Percent >= 0 && t.Percent <= MaxPercent && t.Target >= 0 && t.Target <= maxTarget && ahead(t.Until, MaxThrottle)
	}
	if g := a.Garbage; g != nil {
		ok = ok && isID(g.Run) && g.Stagger >= 0 && g.Stagger <= MaxStagger && ahead(g.Until, MaxAhead)
	}
	if r := a.Restart; r != nil {
		ok = ok && isID(r.Run) && r.Task != "" && len(r.Task) <= maxTask && r.PID > 0 && ahead(r.Until, MaxAhead)
	}
	if x := a.Trace; x != nil {
		ok = ok && isID(x.Run) && x.PID > 0 && x.For >= time.Second && x.For <= MaxTrace && ahead(x.Until, MaxAhead)
	}
	if !ok {
		return ErrBounds
	}
	return nil
}

// isID reports whether a text can be the id of a run: not empty, and at most maxRun bytes.
func isID(run string) bool { return run != "" && len(run) <= maxRun }

// document is the file, as resp_flask.py reads it. Times are seconds of Unix.
type document struct {
	Version  int               `json:"version"`
	Throttle *throttleDocument `json:"throttle,omitempty"`
	Garbage  *garbageDocument  `json:"collect_garbage,omitempty"`
	Restart  *restartDocument  `json:"restart_task,omitempty"`
	Trace    *traceDocument    `json:"trace_memory,omitempty"`
}

type throttleDocument struct {
	Percent float64 `json:"percent"`
	Target  float64 `json:"target_seconds,omitempty"`
	Until   float64 `json:"until"`
}

type garbageDocument struct {
	Run     string  `json:"run"`
	Until   float64 `json:"until"`
	Stagger float64 `json:"stagger_seconds,omitempty"`
}

type restartDocument struct {
	Run   string  `json:"run"`
	Task  string  `json:"task"`
	PID   int     `json:"pid"`
	Until float64 `json:"until"`
}

type traceDocument struct {
	Run     string  `json:"run"`
	PID     int     `json:"pid"`
	Seconds float64 `json:"seconds"`
	Until   float64 `json:"until"`
}

// encode returns the content of the file, as JSON.
func (a Asked) encode() ([]byte, error) {
	d := document{Version: 1}
	if t := a.Throttle; t != nil {
		d.Throttle = &throttleDocument{t.Percent, t.Target.Seconds(), seconds(t.Until)}
	}
	if g := a.Garbage; g != nil {
		d.Garbage = &garbageDocument{g.Run, seconds(g.Until), g.Stagger.Seconds()}
	}
	if r := a.Restart; r != nil {
		d.Restart = &restartDocument{r.Run, r.Task, r.PID, seconds(r.Until)}
	}
	if x := a.Trace; x != nil {
		d.Trace = &traceDocument{x.Run, x.PID, x.For.Seconds(), seconds(x.Until)}
	}
	return json.Marshal(d)
}

// seconds returns the seconds since 1970, to the millisecond.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
