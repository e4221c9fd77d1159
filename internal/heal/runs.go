package heal

import (
	"slices"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// runTable has the runs that have not ended, and the targets on which one works.
type runTable struct {
	mu       sync.Mutex
	queue    []*execution
	awaiting map[string]*execution // an approval, by the run's id
	active   map[string]*execution
	targets  map[string]string // id of the run by guard key: one run works on a target
}

func newRunTable() *runTable {
	return &runTable{awaiting: make(map[string]*execution), active: make(map[string]*execution), targets: make(map[string]string)}
}

// enqueue appends runs to the queue.
func (t *runTable) enqueue(list ...*execution) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue = append(t.queue, list...)
}

// enqueueFirst puts a run at the front of the queue.
func (t *runTable) enqueueFirst(e *execution) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue = slices.Insert(t.queue, 0, e)
}

// await moves an active run to those that wait for an approval.
func (t *runTable) await(e *execution) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.active, e.id)
	t.awaiting[e.id] = e
}

// requeue puts an active run back at the end of the queue.
func (t *runTable) requeue(e *execution) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.active, e.id)
	t.queue = append(t.queue, e)
}

// activate moves the first run for which due is true from the queue to the active ones,
// and returns it. nil: there is none, or as many as limit are active.
func (t *runTable) activate(limit int, due func(*execution) bool) *execution {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.active) >= limit {
		return nil
	}
	i := slices.IndexFunc(t.queue, due)
	if i < 0 {
		return nil
	}
	e := t.queue[i]
	t.queue = slices.Delete(t.queue, i, i+1)
	t.active[e.id] = e
	return e
}

// finish removes a run that has ended from the active ones.
func (t *runTable) finish(e *execution) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.active, e.id)
}

// claim reserves a target for a run. It returns false if it is reserved already, for whatever run.
func (t *runTable) claim(key, id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, busy := t.targets[key]; busy {
		return false
	}
	t.targets[key] = id
	return true
}

// release ends the reservation of a target, if the run has it.
func (t *runTable) release(key, id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.targets[key] == id {
		delete(t.targets, key)
	}
}

// busy reports whether a guard key is reserved, also while a temporary setting is set back,
// or is the first key of a run that is queued, active or waits for an approval.
func (t *runTable) busy(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, busy := t.targets[key]; busy {
		return true
	}
	same := func(e *execution) bool { return e.rule.FirstKey(e.alert) == key }
	if slices.ContainsFunc(t.queue, same) {
		return true
	}
	for _, list := range []map[string]*execution{t.awaiting, t.active} {
		for _, e := range list {
			if same(e) {
				return true
			}
		}
	}
	return false
}

// cancel ends the runs of a rule and an alert that are queued or wait for an approval, except
// interrupted ones, and returns them. Active ones are told to end before their next act.
func (t *runTable) cancel(rule, fingerprint, reason string, now time.Time) (cancelled []journal.Run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	cancel := func(e *execution) bool {
		if !e.isFor(rule, fingerprint) {
			return false
		}
		run, ok := e.cancel(reason, now)
		if ok {
			cancelled = append(cancelled, run)
		}
		return ok
	}
	t.queue = slices.DeleteFunc(t.queue, cancel)
	for id, e := range t.awaiting {
		if cancel(e) {
			delete(t.awaiting, id)
		}
	}
	for _, e := range t.active {
		if e.isFor(rule, fingerprint) {
			e.requestCancel()
		}
	}
	return cancelled
}

// takeAwaiting removes and returns the run id, which waits for the approval of a plan, "" for
// any. nil: it does not wait. ErrOtherPlan: it waits with another plan, or none, and stays.
func (t *runTable) takeAwaiting(id, plan string) (*execution, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.awaiting[id]
	if e == nil {
		return nil, nil //nolint:nilnil // documented
	}
	if p := e.snapshot().Plan; p == nil || plan != "" && plan != p.ID {
		return nil, ErrOtherPlan
	}
	delete(t.awaiting, id)
	return e, nil
}

// takeExpired removes and returns the runs that wait for an approval and were last
// updated at since or before, in no order; nil if there is none.
func (t *runTable) takeExpired(since time.Time) (expired []*execution) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, e := range t.awaiting {
		if !e.snapshot().Updated.After(since) {
			expired = append(expired, e)
			delete(t.awaiting, id)
		}
	}
	return expired
}

// queued returns the length of the queue, and the names of the rules that have a run in it.
func (t *runTable) queued() (n int, rules map[string]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	rules = make(map[string]bool)
	for _, e := range t.queue {
		rules[e.rule.Name] = true
	}
	return len(t.queue), rules
}

// waiting returns the length of the queue, and by rule how many runs wait for an approval, if any.
func (t *runTable) waiting() (queue int, awaiting map[string]int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	awaiting = make(map[string]int)
	for _, e := range t.awaiting {
		awaiting[e.rule.Name]++
	}
	return len(t.queue), awaiting
}
