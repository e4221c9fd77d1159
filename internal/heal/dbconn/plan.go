package dbconn

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// Prepared is the private part of a plan that ends connections by criteria C.
type Prepared[C any] struct {
	Criteria C
	Server   string // Session.Server
	Victims  []mysql.Connection
}

// PreparedOf returns the private part of a plan. [action.ErrNotPlanned]: the plan was
// refused or comes from the journal.
func PreparedOf[C any](p action.Plan) (Prepared[C], error) {
	private, ok := p.Private.(Prepared[C])
	if !ok || !p.Refused.IsZero() {
		return Prepared[C]{}, action.ErrNotPlanned
	}
	return private, nil
}

// Reopen opens a session of the server for which a plan was made, which the caller
// closes. [ErrRestarted]: the server is another process by now.
func (p *Prepared[C]) Reopen(ctx context.Context, s *Sleepers, database func(name string) Database) (Session, error) {
	db, err := s.Open(ctx, database)
	if err != nil {
		return nil, err
	}
	if db.Server() != p.Server {
		db.Close()
		return nil, ErrRestarted
	}
	return db, nil
}

// PlannedIDs returns the ids of victims, if they were ids of this process of the server;
// empty if they were of another one, since its connections are gone with it.
func PlannedIDs(victims []action.Victim, server string) map[uint64]bool {
	out := make(map[uint64]bool)
	for _, v := range victims {
		if id, err := strconv.ParseUint(v.ID, 10, 64); err == nil && v.Info["server"] == server {
			out[id] = true
		}
	}
	return out
}

// ErrRestarted means that the server restarted, so that its connections have new ids.
var ErrRestarted = errors.New("the server restarted since the plan was made")

// MinIdle is the shortest time after which a connection or a statement may be
// ended. A server's list of transactions may be a tenth of a second old.
const MinIdle = time.Second
