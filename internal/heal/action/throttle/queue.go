package throttle

import "time"

const (
	// fewQueued are too few requests for a mean of the time in the queue.
	fewQueued = 5
	// leastShare is the smallest share of requests that counts as shed.
	leastShare = 0.005
)

// queue is what the workers of an app say of its requests of the last seconds.
type queue struct {
	n      int           // that said how long they waited
	waited time.Duration // the mean of them
	sheds  bool          // some were shed for a target
}

// isKnown reports whether enough requests, fewQueued or more, said how long they waited.
func (q queue) isKnown() bool { return q.n >= fewQueued }

// queueOf returns what the workers of an app say of its requests of the last seconds; zero
// if they say nothing.
func (r *Action) queueOf(app string) (q queue) {
	total := 0.0
	for _, w := range r.d.Followers.Reporter.Reports(app) {
		c := &w.Control
		q.n += c.Queued
		total += c.Waited.Seconds() * float64(c.Queued)
		q.sheds = q.sheds || c.Throttled && c.Share >= leastShare
	}
	q.waited = time.Duration(total / float64(max(q.n, 1)) * float64(time.Second))
	return q
}

// holds reports whether the condition of a throttle of an app holds: its component is
// unhealthy. With a target also, and without a component only, while requests wait for
// longer than that, or are shed: as long as there are too many, the throttle itself keeps
// the queue short. An error: the component cannot be judged.
func (r *Action) holds(app string) (bool, error) {
	if r.c.Target > 0 {
		if q := r.queueOf(app); q.sheds || q.isKnown() && q.waited > r.c.Target {
			return true, nil
		}
		if r.c.Component == "" {
			return false, nil
		}
	}
	return r.d.Condition(app, r.c.Component)
}
