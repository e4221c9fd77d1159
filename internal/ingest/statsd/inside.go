package statsd

import (
	"unicode/utf8"

	"github.com/resp-exporter/resp-exporter/internal/ingest"
)

// insideTags are the tags of what an app reports about its inside, other than requests.
type insideTags struct{ pool, task, outcome []byte }

// set sets the kind of an event by its name, and what its tags say. known is false for
// another name. [ErrShape]: a tag is missing, empty or no UTF-8. [ErrValue]: the outcome
// is none of the known.
func (t *insideTags) set(e *ingest.Event, name []byte) (known bool, err error) {
	switch string(name) {
	case "resp.queue_time":
		e.Kind = ingest.QueueTime
		return true, nil
	case "resp.pool_wait":
		e.Kind, e.Name = ingest.PoolWait, t.pool
	case "resp.task":
		e.Kind, e.Name = ingest.TaskRun, t.task
		if e.Failed = string(t.outcome) == "failed"; !e.Failed && string(t.outcome) != "ok" {
			err = ErrValue
		}
		if len(t.outcome) == 0 {
			err = ErrShape
		}
	default:
		return false, nil
	}
	if len(e.Name) == 0 || !utf8.Valid(e.Name) {
		err = ErrShape
	}
	return true, err
}
