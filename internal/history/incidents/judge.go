package incidents

import (
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health/measures"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// judged is whether an app is harmed at one look, and by what.
type judged struct {
	harm  model.Harm
	cause model.Cause
	peer  string
	since time.Time // when the cause was first found; zero: not known
	chain *model.Chain
}

// longWait is how many seconds a chain must have lasted to be harm by itself.
const longWait = 5

// judge returns the harm and its cause of each app in a state: those of its
// [model.Bottleneck] or, if it has none, what its workers, queue and chains show.
func judge(s *model.State) map[string]judged {
	out := make(map[string]judged)
	for i := range s.Bottlenecks {
		b := &s.Bottlenecks[i]
		j := judged{harm: b.Harm, cause: b.Cause, peer: b.Peer, since: b.Since, chain: b.Chain}
		if j.chain == nil {
			j.chain = chainOf(s, b.App)
		}
		out[b.App] = j
	}
	for i := range s.Apps {
		if app := s.Apps[i].Name; app != "" {
			if _, ok := out[app]; !ok {
				out[app] = plain(s, app)
			}
		}
	}
	return out
}

// chainOf returns the first chain of an app; nil if there is none.
func chainOf(s *model.State, app string) *model.Chain {
	i := slices.IndexFunc(s.Chains, func(c model.Chain) bool { return c.App == app })
	if i < 0 {
		return nil
	}
	return &s.Chains[i]
}

// plain returns the harm of an app that has no bottleneck and, only if there is harm, the
// cause that its first chain shows.
func plain(s *model.State, app string) judged {
	var out judged
	for i := range s.Workers {
		if w := &s.Workers[i]; w.App == app && w.Counts != nil && w.Counts.Stuck > 0 {
			out.harm.Stuck = model.Known(w.Counts.Stuck)
		}
	}
	out.harm.Queue = fullQueue(s, app)
	if c := chainOf(s, app); c != nil {
		out.chain = c
		if c.Seconds >= longWait {
			out.harm.Latency = model.Known(c.Seconds)
		}
		if out.harm.Any() {
			out.cause, out.peer = causeOf(c), c.Peer
		}
	}
	return out
}

// fullQueue returns the length of an app's fullest accept queue if that reaches the
// threshold for a warning; else nil.
func fullQueue(s *model.State, app string) (out *float64) {
	for i := range s.Listeners {
		if l := &s.Listeners[i]; l.App == app {
			if q := measures.Fullest(l.Listeners); q != nil && q.Length != nil && *q.Length >= warning(s, "request_queue") {
				out = q.Length
			}
		}
	}
	return out
}

// warning returns the threshold for a warning of a resource; a huge number if there is
// none.
func warning(s *model.State, resource string) float64 {
	for i := range s.Thresholds {
		if s.Thresholds[i].Resource == resource {
			return s.Thresholds[i].Warning
		}
	}
	return 1e300
}

// causeOf returns the cause that a chain shows; "" if it shows none.
func causeOf(c *model.Chain) model.Cause {
	switch {
	case c.On == "mysql" && c.Kind == "full":
		return model.CausePool
	case c.Kind == "down":
		return model.CauseDBDown
	case c.On == "mysql" && (c.Kind == "row" || c.Kind == "metadata" || c.Kind == "table" || c.Kind == "global"):
		return model.CauseDBLock
	case c.On == "mysql":
		return model.CauseDBSlow
	case c.On == "redis":
		return model.CauseRedis
	case c.On == "upstream":
		return model.CauseUpstream
	case c.On == "gil":
		return model.CauseGIL
	case c.On == "lock":
		return model.CauseLock
	}
	return ""
}

// worsen raises each value of h to that of now if now is worse. It reports whether it
// raised one.
func worsen(h *model.Harm, now model.Harm) (changed bool) {
	for _, x := range [...]struct{ worst, now **float64 }{
		{&h.Queue, &now.Queue}, {&h.Latency, &now.Latency}, {&h.Stuck, &now.Stuck}, {&h.Errors, &now.Errors}, {&h.Tasks, &now.Tasks},
	} {
		if *x.now != nil && (*x.worst == nil || **x.worst < **x.now) {
			v := **x.now
			*x.worst, changed = &v, true
		}
	}
	return changed
}

// worse reports whether the chain a is worse than b: it has more victims, or as many and
// a longer wait. A nil chain is the best.
func worse(a, b *model.Chain) bool {
	switch {
	case a == nil:
		return false
	case b == nil || len(a.Victims) != len(b.Victims):
		return b == nil || len(a.Victims) > len(b.Victims)
	}
	return a.Seconds > b.Seconds
}

// latest returns the latest of some times, at least one.
func latest(list ...time.Time) time.Time { return slices.MaxFunc(list, time.Time.Compare) }
