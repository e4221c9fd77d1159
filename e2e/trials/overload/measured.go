package overload

import (
	"net/http"
	"slices"
	"time"
)

// Request is one that was sent. Times count from the beginning of the overload.
type Request struct {
	At     time.Duration
	Path   string
	Status int // 0: it was not answered until the end
	Took   time.Duration
}

// Measured is what became of the requests of a time.
type Measured struct {
	Requests  int
	Accepted  int           // that were not shed
	Served    float64       // answered with 200 in that time, as a share of the capacity
	P50, P95  time.Duration // of those accepted; an unanswered one has taken as long as it was waited for
	Longest   time.Duration
	ByPath    map[string]Share
	Unhealthy int // health checks that were shed
}

// Share counts the requests to a path, and how many were served or are still waited for.
type Share struct{ Sent, Accepted int }

// Ratio returns the share that was accepted.
func (s Share) Ratio() float64 { return float64(s.Accepted) / float64(max(s.Sent, 1)) }

// measure returns the figures of the requests that were sent in a time.
func measure(all []Request, from, to time.Duration, capacity float64) Measured {
	m := Measured{ByPath: map[string]Share{}}
	var took []time.Duration
	served := 0
	for _, r := range all {
		if end := r.At + r.Took; r.Status == http.StatusOK && r.Path != health && end >= from && end < to {
			served++
		}
		if r.At < from || r.At >= to {
			continue
		}
		shed := r.Status == http.StatusServiceUnavailable
		if r.Path == health {
			if shed {
				m.Unhealthy++
			}
			continue
		}
		m.Requests++
		s := m.ByPath[r.Path]
		s.Sent++
		if !shed {
			s.Accepted++
			m.Accepted++
			took = append(took, r.Took)
		}
		m.ByPath[r.Path] = s
	}
	slices.Sort(took)
	m.P50, m.P95, m.Longest = quantile(took, 0.5), quantile(took, 0.95), quantile(took, 1)
	if to > from {
		m.Served = float64(served) / (to - from).Seconds() / capacity
	}
	return m
}

// quantile returns the one of a sorted list; 0 of an empty one.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
