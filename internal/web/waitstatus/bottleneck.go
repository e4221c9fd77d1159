package waitstatus

import (
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis/cause"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

type (
	// Bottleneck is what holds up an app, as the status has it.
	Bottleneck struct {
		Cause    *string    `json:"cause"` // null: none, or none beyond doubt
		Since    *time.Time `json:"since"`
		Harm     Harm       `json:"harm"`
		Share    *float64   `json:"share"` // of the lost time of the workers
		Peer     *string    `json:"peer"`  // as in chains
		Sentence *string    `json:"sentence"`
		Advice   *string    `json:"advice"`
		Evidence []Evidence `json:"evidence"`
	}
	// Harm is what the users of an app lose; null: nothing of that kind.
	Harm struct {
		Queue          *float64 `json:"queue"`
		LatencySeconds *float64 `json:"latency_seconds"`
		StuckWorkers   *float64 `json:"stuck_workers"`
		ErrorRate      *float64 `json:"error_rate"`
		TaskAgeSeconds *float64 `json:"task_age_seconds"`
	}
	// Evidence is one number by which a cause was found.
	Evidence struct {
		Code  string  `json:"code"`
		Of    *string `json:"of"`
		Value float64 `json:"value"`
	}
)

// BottleneckOf returns what holds up an app, as the JSON has it; nil if the app is not
// judged. One that is judged and not held up has no cause, share and start.
func BottleneckOf(s *model.State, app string) *Bottleneck {
	i := slices.IndexFunc(s.Bottlenecks, func(b model.Bottleneck) bool { return b.App == app })
	if i < 0 {
		return nil
	}
	b := &s.Bottlenecks[i]
	out := &Bottleneck{
		Cause: known(string(b.Cause)), Peer: known(b.Peer), Sentence: known(cause.Sentence(b)), Advice: known(cause.Advice(b)), Evidence: []Evidence{},
		Harm: Harm{b.Harm.Queue, b.Harm.Latency, b.Harm.Stuck, b.Harm.Errors, b.Harm.Tasks},
	}
	for _, e := range b.Evidence {
		out.Evidence = append(out.Evidence, Evidence{e.Code, known(e.Of), e.Value})
	}
	if b.Cause != "" {
		since := b.Since.UTC()
		out.Since, out.Share = &since, &b.Share
	}
	return out
}

// known returns a pointer to s; nil for "".
func known(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
