package appside

import (
	"slices"
	"time"
)

// Report is what a worker says about itself.
type Report struct {
	PID   int
	Began time.Time
	State

	// OtherVersion reports that it has none but memory files of another version of
	// resp_flask.py, which are not read.
	OtherVersion bool
}

// Reports returns one report a worker of an app, by pid: of its first readable memory file
// that follows the app's control file ([IsCalled]), else of its first readable one. A worker
// without any has a report without a state if it has a file of another version, else none.
func (k *Keeper) Reports(app string) []Report {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []Report
	for w, x := range k.workers {
		if x.app != app {
			continue
		}
		states := k.readAll(x)
		if len(states) == 0 {
			if x.others {
				out = append(out, Report{PID: w.pid, Began: time.Unix(0, w.began), OtherVersion: true})
			}
			continue
		}
		i := max(0, slices.IndexFunc(states, func(s State) bool { return IsCalled(&s, app) }))
		out = append(out, Report{PID: w.pid, Began: time.Unix(0, w.began), State: states[i]})
	}
	slices.SortFunc(out, func(a, b Report) int { return a.PID - b.PID })
	return out
}

// IsCalled reports whether a process follows the control file of an app. Of a longer name only
// nameMax bytes are compared. It is false for a resp_flask.py too old to say so.
func IsCalled(s *State, app string) bool {
	return s.Control.Follows && s.Control.Name == app[:min(len(app), nameMax)]
}
