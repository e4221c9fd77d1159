package measures

import (
	"cmp"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// Listeners returns the accept queues of an app; nil if none is known.
func Listeners(s *model.State, app string) []model.Listener {
	i := slices.IndexFunc(s.Listeners, func(l model.AppListeners) bool { return l.App == app })
	if i < 0 {
		return nil
	}
	return s.Listeners[i].Listeners
}

// QueueLength returns how many connections wait at all listeners of an app together whose
// length is known; nil if none is.
func QueueLength(s *model.State, app string) *float64 {
	var sum *float64
	for _, l := range Listeners(s, app) {
		if l.Length == nil {
			continue
		}
		if sum == nil {
			sum = new(float64)
		}
		*sum += *l.Length
	}
	return sum
}

// Fullest returns the queue that is nearest to its limit; of several equally near, the
// longest. One without a known limit counts as empty. nil: no length is known.
func Fullest(qs []model.Listener) *model.Listener {
	var worst *model.Listener
	for i := range qs {
		q := &qs[i]
		if q.Length != nil && (worst == nil || cmp.Or(cmp.Compare(orZero(q.Fullness), orZero(worst.Fullness)), cmp.Compare(*q.Length, *worst.Length)) > 0) {
			worst = q
		}
	}
	return worst
}

// Longest returns the queue in which most connections wait; nil if no length is known.
func Longest(qs []model.Listener) *model.Listener {
	var most *model.Listener
	for i := range qs {
		if q := &qs[i]; q.Length != nil && (most == nil || *q.Length > *most.Length) {
			most = q
		}
	}
	return most
}

// orZero returns the value, 0 for nil.
func orZero(v *float64) float64 {
	if v == nil {
		return 0
	}
	return *v
}
