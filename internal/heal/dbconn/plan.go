package dbconn

import (
	"errors"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
)

// PlannedIDs returns the ids of victims, if they were ids of this process of
// the server; those of another one are gone with it.
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
