package parts

import "github.com/resp-exporter/resp-exporter/internal/model"

// What an app reports about itself, in /api/v1/status.
type (
	// ReportedJSON is what the workers of an app have in their memory files.
	ReportedJSON struct {
		Sessions *reportedSessionsJSON `json:"sessions"` // of Flask-Session in Redis; null: none
		Traces   []traceJSON           `json:"memory_traces"`
	}
	reportedSessionsJSON struct {
		Prefix   string   `json:"prefix"`
		Lifetime *float64 `json:"lifetime_seconds"`
	}
	traceJSON struct {
		Run   string      `json:"run"`
		PID   int         `json:"pid"`
		Lines []traceLine `json:"lines"` // the most bytes first
	}
	traceLine struct {
		File   string   `json:"file"`
		Line   int      `json:"line"`
		Blocks *float64 `json:"blocks"`
		Bytes  *float64 `json:"bytes"`
	}
)

// ReportedStatus returns, as the JSON has it, what an app reports from inside; nil if it
// reports nothing.
func ReportedStatus(s *model.State, app string) *ReportedJSON {
	for i := range s.Reported {
		r := &s.Reported[i]
		if r.App != app {
			continue
		}
		out := &ReportedJSON{Traces: make([]traceJSON, 0, len(r.Traces))}
		if r.SessionLifetime != nil {
			out.Sessions = &reportedSessionsJSON{r.SessionPrefix, r.SessionLifetime}
		}
		for j := range r.Traces {
			t := &r.Traces[j]
			x := traceJSON{t.Run, t.PID, make([]traceLine, 0, len(t.Lines))}
			for k := range t.Lines {
				l := &t.Lines[k]
				x.Lines = append(x.Lines, traceLine{l.File, l.Line, &l.Blocks, &l.Bytes})
			}
			out.Traces = append(out.Traces, x)
		}
		return out
	}
	return nil
}
