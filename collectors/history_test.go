package collectors_test

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/history"
	"github.com/resp-exporter/resp-exporter/internal/history/files"
	"github.com/resp-exporter/resp-exporter/internal/history/incidents"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

func TestHistory(t *testing.T) {
	golden(t, collectors.NewHistory(collectors.HistoryStats{
		StateDir: "/var/lib/resp-exporter",
		History: func() history.Kept {
			return history.Kept{Bytes: 1 << 20, Stored: true, Counts: history.Counts{Requests: 1, Details: 2, Workers: 3, Evicted: 4, Damaged: 5, Unsaved: 6, Unread: 10}}
		},
		Incidents: func() incidents.Totals {
			return incidents.Totals{
				Totals: []incidents.Total{{App: "shop", Cause: model.CauseDBLock, Count: 2}, {App: "shop", Cause: model.CausePool}},
				Open:   []incidents.Open{{App: "shop", Cause: model.CauseDBLock, Start: time.Unix(1767323045, 500e6)}},
				Counts: incidents.Counts{Incidents: 7, Lines: 8, Damaged: 9}, Stored: true,
			}
		},
	}))
}

// The reason why nothing is stored is reported, and is no fault of the exporter.
func TestHistoryInMemory(t *testing.T) {
	for _, c := range []struct {
		dir  string
		why  error
		want collectors.Reason
	}{
		{"/var/lib/resp-exporter", nil, ""},
		{"", nil, collectors.NotFound},
		{"/s", fmt.Errorf("x: %w", fs.ErrNotExist), collectors.NotFound},
		{"/s", fmt.Errorf("x: %w", fs.ErrPermission), collectors.Permission},
		{"/s", safefile.ErrOwner, collectors.Permission},
		{"/s", files.ErrLocked, collectors.InUse},
		{"/s", errors.New("disk full"), collectors.Failed},
	} {
		h := collectors.NewHistory(collectors.HistoryStats{
			StateDir: c.dir, History: func() history.Kept { return history.Kept{Why: c.why} }, Incidents: func() incidents.Totals { return incidents.Totals{} },
		})
		_, err := h.Collect(t.Context())
		u := &collectors.Unavailable{}
		if !errors.As(err, &u) && c.want != "" || err != nil && (u.Reason != c.want || !u.Optional) {
			t.Errorf("%q, %v: %v, want %s", c.dir, c.why, err, c.want)
		}
	}
}
