package chains

import (
	"context"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// The parts of /api/v1/status that are compared.
type (
	status struct {
		Apps   []struct{ Name string }
		Chains []Chain
	}
	// Chain is a chain as the exporter reports it.
	Chain struct {
		App, On, Kind, Sentence string
		Seconds                 float64
		Deadlock                bool
		Victims, Links          []Link
	}
	// Link is one party of a chain.
	Link struct {
		App, Slot, Server, User, Host, On, Peer, View, Function, File string
		PID, Line                                                     int
		Connection                                                    uint64   `json:"connection_id"`
		Seconds                                                       float64  `json:"seconds"`
		Transaction                                                   *float64 `json:"transaction_seconds"`
	}
)

// status returns the exporter's status.
func (r *rig) status(ctx context.Context) (s status, err error) {
	return s, run.GetJSON(ctx, r.client, r.exporter+"/api/v1/status", &s)
}
