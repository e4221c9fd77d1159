package health

import (
	"cmp"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// Queue is the accept queue of one listener as the readings have it.
type Queue struct {
	Listener      string
	Length, Limit *float64 // connections; nil: not known
	Fullness      *float64 // length of its limit, of the fullest socket at that address; nil: not known, or no limit
}

// Queues returns the accept queues of an app in the order of the readings.
func Queues(r *model.State, app string) []Queue {
	var out []Queue
	for _, x := range r.With("resp_listener_queue_length", app) {
		out = append(out, Queue{Listener: label(x, 1), Length: known(x.Value)})
	}
	for _, x := range r.With("resp_listener_queue_limit", app) {
		i := slices.IndexFunc(out, func(q Queue) bool { return q.Listener == label(x, 1) })
		if i < 0 {
			i = len(out)
			out = append(out, Queue{Listener: label(x, 1)})
		}
		out[i].Limit = known(x.Value)
	}
	sockets := r.With("page.listener_fullness", app)
	for i := range out {
		q := &out[i]
		if q.Length == nil || q.Limit == nil || *q.Limit <= 0 {
			continue
		}
		ratio := *q.Length / *q.Limit
		if i := slices.IndexFunc(sockets, func(x model.Reading) bool { return label(x, 1) == q.Listener }); i >= 0 && finite(sockets[i].Value) {
			ratio = max(ratio, sockets[i].Value)
		}
		q.Fullness = &ratio
	}
	return out
}

// Fullest returns the queue that is nearest to its limit, and of those the
// longest one: a full queue is full however empty the others are. It is nil
// where no length is known.
func Fullest(qs []Queue) *Queue {
	var worst *Queue
	for i := range qs {
		q := &qs[i]
		if q.Length != nil && (worst == nil || cmp.Or(cmp.Compare(orZero(q.Fullness), orZero(worst.Fullness)), cmp.Compare(*q.Length, *worst.Length)) > 0) {
			worst = q
		}
	}
	return worst
}

// longest returns the queue in which most connections wait; nil: none is known.
func longest(qs []Queue) *Queue {
	var most *Queue
	for i := range qs {
		if q := &qs[i]; q.Length != nil && (most == nil || *q.Length > *most.Length) {
			most = q
		}
	}
	return most
}

func orZero(v *float64) float64 {
	if v == nil {
		return 0
	}
	return *v
}

// text is the length with its limit, and with the listener where there are several.
func (q *Queue) text(several bool) string {
	out := FormatCount(*q.Length)
	if q.Limit != nil {
		out += " of " + FormatCount(*q.Limit)
	}
	if several {
		out += " at " + q.Listener
	}
	return out
}
