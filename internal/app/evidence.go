package app

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/app/evidence"
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/web/waitstatus"
)

// maxEvidenceThreads bounds the connections of one look, far within what a line of the
// journal may hold.
const maxEvidenceThreads = 100

// evidenceJSON is what was seen right before an action: the last look's numbers of
// what the action is about, and the connections of its servers as they are now.
type evidenceJSON struct {
	LastLook time.Time               `json:"last_look"`
	Findings []health.Finding        `json:"findings,omitempty"`
	Numbers  []evidence.Number       `json:"numbers,omitempty"`
	Waits    *waitstatus.Waits       `json:"waits,omitempty"`       // of the last look
	Servers  map[string][]threadJSON `json:"connections,omitempty"` // by the name of a MySQL server
	Missing  map[string]string       `json:"missing,omitempty"`     // why something is not here
}

// threadJSON is one connection, without its user and its statement.
type threadJSON struct {
	ID           uint64  `json:"id"`
	Command      string  `json:"command"`
	Seconds      float64 `json:"seconds"`
	State        string  `json:"state,omitempty"`
	TrxSeconds   float64 `json:"trx_seconds,omitempty"`
	RowsModified uint64  `json:"rows_modified,omitempty"`
	RowsLocked   uint64  `json:"rows_locked,omitempty"`
	Waits        bool    `json:"waits_for_lock,omitempty"`
}

// evidence returns as JSON what is known of a target now: the last look's findings of its
// app, the host and the stores, numbers and waits, and the connections of its MySQL
// servers; those that could not be read are named in it. nil: it cannot be encoded.
func (a *parts) evidence(ctx context.Context, target string) json.RawMessage {
	state, evaluation := a.Latest()
	app, servers := a.about(target)
	e := evidenceJSON{LastLook: evaluation.At.UTC(), Servers: make(map[string][]threadJSON), Missing: make(map[string]string)}
	for _, f := range evaluation.Findings() {
		if f.App == "" || f.App == app {
			e.Findings = append(e.Findings, f)
		}
	}
	e.Numbers = evidence.Numbers(state, app, servers)
	e.Waits = waitstatus.Of(state, evaluation.At, app, servers)
	for _, t := range a.mysql.targets() {
		if !slices.Contains(servers, "mysql:"+t.Name) {
			continue
		}
		threads, err := threadsOf(ctx, t.Server)
		if err != nil {
			e.Missing["mysql:"+t.Name] = err.Error()
		}
		e.Servers[t.Name] = threads
	}
	out, err := json.Marshal(e)
	if err != nil {
		return nil
	}
	return out
}

// about parses a target: "app:shop/pool:main" returns the app shop and the servers that
// it uses, or all of MySQL if it is not configured; "mysql:main" no app and that server.
func (a *parts) about(target string) (app string, servers []string) {
	rest, ok := strings.CutPrefix(target, "app:")
	if !ok {
		return "", []string{target}
	}
	for _, x := range a.config.Load().Apps {
		if rest != x.Name && !strings.HasPrefix(rest, x.Name+"/") {
			continue
		}
		for _, p := range partsOf(x) {
			servers = append(servers, p.Store)
		}
		return x.Name, servers
	}
	app, _, _ = strings.Cut(rest, "/") // discovered
	for _, x := range a.config.Load().MySQL {
		servers = append(servers, "mysql:"+x.Name)
	}
	return app, servers
}

// threadsOf returns the connections of a server with their transactions, the oldest
// transaction first, then the longest in their state, at most maxEvidenceThreads. If only
// the transactions cannot be read, it returns the connections with the error.
func threadsOf(ctx context.Context, s collectors.MySQLServer) ([]threadJSON, error) {
	threads, err := s.Threads(ctx)
	if err != nil {
		return nil, err
	}
	byThread := make(map[uint64]mysql.Transaction)
	transactions, err := s.Transactions(ctx)
	for _, t := range transactions {
		byThread[t.Thread] = t
	}
	out := make([]threadJSON, 0, len(threads))
	for _, t := range threads {
		x := threadJSON{ID: t.ID, Command: t.Command, Seconds: t.Time.Seconds(), State: t.State}
		if trx, ok := byThread[t.ID]; ok {
			x.TrxSeconds, x.RowsModified, x.RowsLocked, x.Waits = trx.Age.Seconds(), trx.RowsModified, trx.RowsLocked, trx.Waits
		}
		out = append(out, x)
	}
	slices.SortStableFunc(out, func(a, b threadJSON) int {
		return cmp.Or(cmp.Compare(b.TrxSeconds, a.TrxSeconds), cmp.Compare(b.Seconds, a.Seconds))
	})
	return out[:min(len(out), maxEvidenceThreads)], err
}
