package heal

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// firingFor is how long an alert counts as firing that nobody reported again.
const firingFor = 5 * time.Hour

// Errors of what a person orders.
var (
	ErrUnknownRun = errors.New("there is no such run")
	ErrNotWaiting = errors.New("the run does not wait for approval")
	ErrOtherPlan  = errors.New("the run waits for approval of another plan: look at the plan as it is now")
)

// Firing is one alert that Alertmanager reported and has not resolved.
type Firing struct {
	Name     string            `json:"name"`
	Severity string            `json:"severity,omitempty"`
	Summary  string            `json:"summary,omitempty"`
	Since    time.Time         `json:"since"`
	Labels   map[string]string `json:"labels"`
	Seen     time.Time         `json:"-"`
}

// Snapshot is how things stand, for people.
type Snapshot struct {
	Mode     string         `json:"mode"`          // in force
	Why      string         `json:"why,omitempty"` // it is another one than in the configuration
	Used     bool           `json:"used"`          // the configuration has rules or a token
	Approve  bool           `json:"-"`             // there is a token to order with
	Paused   *journal.Pause `json:"paused"`        // null: it is not
	Queue    int            `json:"queue_length"`  // runs that wait
	Awaiting int            `json:"awaiting"`      // runs that wait for a person to approve their plan
	Human    []string       `json:"needs_human"`   // rules that could not help
	Firing   []Firing       `json:"firing"`        // the oldest first
	Runs     []journal.Run  `json:"runs"`          // the newest first, without evidence
	Breakers []string       `json:"breakers_open"` // actions that rest
}

// severityNone is the severity of what is no alert, such as a heartbeat.
const severityNone = "none"

// noteFiring keeps what Alertmanager says of this host, without what is no alert.
// r.mu is held.
func (r *Runner) noteFiring(a action.Alert, now time.Time) {
	if a.Resolved || strings.EqualFold(a.Labels["severity"], severityNone) {
		delete(r.firing, a.Fingerprint)
		return
	}
	if _, ok := r.firing[a.Fingerprint]; !ok && len(r.firing) >= maxFiring {
		return
	}
	s := journal.SubjectOf(a)
	r.firing[a.Fingerprint] = Firing{
		Name: s.Name, Severity: s.Labels["severity"], Summary: text.Clip(a.Annotations["summary"], action.MaxText), Since: a.StartsAt, Labels: s.Labels, Seen: now,
	}
}

// publish shows a run as it is now. r.mu is held.
func (r *Runner) publish(run journal.Run) {
	if _, ok := r.runs[run.ID]; !ok {
		r.order = append(r.order, run.ID)
		r.forget()
	}
	r.runs[run.ID] = &run
}

// forget keeps the index of runs bounded: of the rule that has the most that
// ended, the oldest go.
func (r *Runner) forget() {
	for len(r.order) > maxIndex {
		i := r.oldestOfMost()
		if i < 0 {
			break
		}
		delete(r.runs, r.order[i])
		r.order = slices.Delete(r.order, i, i+1)
	}
	if i := len(r.order) - maxFacts; i > 0 {
		if run := r.runs[r.order[i-1]]; run != nil && len(run.Facts) > 0 && run.Terminal() {
			short := *run
			short.Facts = nil
			r.runs[r.order[i-1]] = &short
		}
	}
}

// RunByID returns one run with its evidence.
func (r *Runner) RunByID(id string) (journal.Run, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if run := r.runs[id]; run != nil {
		return *run, nil
	}
	return journal.Run{}, ErrUnknownRun
}

// Snapshot returns how things stand now.
func (r *Runner) Snapshot() Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	s := Snapshot{Mode: r.shownMode(), Used: r.set.used(), Approve: r.set.TokenFile != "", Queue: len(r.queue), Awaiting: len(r.awaiting), Human: slices.Sorted(maps.Keys(r.human))}
	if r.pause.On(now) {
		s.Paused = new(*r.pause)
	}
	if r.store == nil && r.set.used() {
		s.Why = "the state directory cannot be used"
		if r.storeErr != nil {
			s.Why = "without its state directory nothing is done: " + r.storeErr.Error()
		}
	} else if r.noWrite != nil {
		s.Why = "without its journal nothing is done: " + r.noWrite.Error()
	}
	for a := range r.failures {
		if r.breakerUntil(a, now).After(now) {
			s.Breakers = append(s.Breakers, a)
		}
	}
	slices.Sort(s.Breakers)
	for _, f := range r.firing {
		s.Firing = append(s.Firing, f)
	}
	slices.SortFunc(s.Firing, func(a, b Firing) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	for _, id := range slices.Backward(r.order) {
		run := *r.runs[id]
		run.Facts = nil
		s.Runs = append(s.Runs, run)
	}
	return s
}

// Stats returns the counters, and how things stand now.
func (r *Runner) Stats() Stats {
	s := r.count.copy()
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	s.Queue, s.Paused, s.Mode = len(r.queue), r.pause.On(now), r.shownMode()
	s.Breakers, s.NeedsHuman, s.Awaiting = make(map[string]bool), make(map[string]bool), make(map[string]int)
	for _, w := range r.awaiting {
		s.Awaiting[w.run.Rule]++
	}
	for _, rl := range r.set.rules {
		_, s.NeedsHuman[rl.Name] = r.human[rl.Name]
		s.Awaiting[rl.Name] += 0 // a rule for which none waits is in it too
		for i, step := range rl.Steps {
			s.expect(rl.Name, step.Action, i < len(rl.Steps)-1)
			if step.Action != config.ActionEscalate {
				s.Breakers[step.Action] = r.breakerUntil(step.Action, now).After(now)
			}
		}
	}
	if r.store != nil {
		s.JournalBytes = r.store.Bytes.Load()
	}
	return s
}

// Pause lets nothing new begin until the time is over; what acts goes on. It
// holds at once even if it cannot be written, and then an error says that a
// restart would end it.
func (r *Runner) Pause(p journal.Pause) error {
	p.Reason, p.By = text.Clip(p.Reason, action.MaxText), text.Clip(p.By, action.MaxValue)
	r.mu.Lock()
	r.pause = &p
	s := r.store
	r.mu.Unlock()
	return setPause(s, &p)
}

// Resume ends the pause.
func (r *Runner) Resume() error {
	r.mu.Lock()
	s := r.store
	r.mu.Unlock()
	if err := setPause(s, nil); err != nil { // or a restart would bring it back
		return err
	}
	r.mu.Lock()
	r.pause = nil
	r.mu.Unlock()
	return nil
}

func setPause(s *journal.Store, p *journal.Pause) error {
	if s == nil {
		return ErrUnwritten
	}
	return s.SetPause(p)
}

// Approve lets a run begin that waits for a person. plan is the [action.Plan.ID] that
// the person saw; "" means the plan that the run waits with. What is done then
// is planned anew and must not touch anything but the victims of that plan.
func (r *Runner) Approve(_ context.Context, id, plan string) (journal.Run, error) {
	r.mu.Lock()
	w := r.awaiting[id]
	if w == nil {
		_, known := r.runs[id]
		r.mu.Unlock()
		if known {
			return journal.Run{}, ErrNotWaiting
		}
		return journal.Run{}, ErrUnknownRun
	}
	if w.run.Plan == nil || plan != "" && plan != w.run.Plan.ID {
		r.mu.Unlock()
		return journal.Run{}, ErrOtherPlan
	}
	delete(r.awaiting, id)
	r.mu.Unlock()

	run := w.run
	run.State, run.Reason, run.Updated = journal.DecisionQueued, "a person approved the plan", time.Now()
	run.Approved = journal.ApprovalOf(*run.Plan)
	err := r.write(journal.EntryOf(&run))
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.awaiting[id] = w
		return journal.Run{}, err
	}
	w.run = run
	r.publish(run)
	r.queue = append(r.queue, w)
	r.poke()
	return run, nil
}

// expire ends what nobody approved in time.
func (r *Runner) expire(now time.Time) {
	var late []*work
	r.mu.Lock()
	r.prune(now)
	for id, w := range r.awaiting {
		if now.Sub(w.run.Updated) >= approveFor {
			late = append(late, w)
			delete(r.awaiting, id)
		}
	}
	r.mu.Unlock()
	for _, w := range late {
		o := outcome{journal.DecisionExpired, "nobody approved it within " + approveFor.String(), thenEnd}
		r.settle(w, o)
		r.end(w, o)
	}
}
