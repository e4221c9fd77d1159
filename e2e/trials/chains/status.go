package chains

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
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

func (r *rig) status(ctx context.Context) (s status, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.exporter+"/api/v1/status", nil)
	if err != nil {
		return s, err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return s, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return s, fmt.Errorf("status: %s", resp.Status)
	}
	return s, json.NewDecoder(resp.Body).Decode(&s)
}
