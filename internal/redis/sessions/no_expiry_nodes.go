package sessions

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/retry"
)

// noExpiryScan is a scan in progress, on a connection of its own: an action
// takes seconds, and neither may wait for scrapes nor they for it.
type noExpiryScan struct {
	NoExpiryQuery
	NoExpiryCount

	link     *redis.Link
	nodes    []scannedNode
	at       int // which node
	examined float64
	slow     int // trips in a row
	cluster  bool
}

// scannedNode is a server, or one master of a cluster.
type scannedNode struct {
	client *driver.Client
	id     string // run_id
	keys   float64
	nx     bool // it knows EXPIRE NX
}

// roundTrip calls f, which does one round trip, with the time limit of all reads, and
// pauses after it. A [Refusal]: the server answers too slowly to be scanned.
func (w *noExpiryScan) roundTrip(ctx context.Context, f func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, redis.Patience)
	defer cancel()
	began := time.Now()
	if err := f(limited); err != nil {
		return err
	}
	took := time.Since(began)
	if w.slow++; took < slowRoundTrip {
		w.slow = 0
	}
	if w.slow >= maxSlowRoundTrips {
		return &Refusal{"answers too slowly to be scanned now"}
	}
	if !retry.Sleep(ctx, min(max(3*took, minRest), maxRest)) {
		return ctx.Err()
	}
	return nil
}

// list sets the nodes, the server or the masters of a cluster. A [Refusal]: on one of
// them nothing may be changed.
func (w *noExpiryScan) list(ctx context.Context) error {
	_, w.cluster = w.link.Client().(*driver.ClusterClient)
	var mu sync.Mutex
	return w.roundTrip(ctx, func(ctx context.Context) error {
		return w.link.Each(ctx, func(ctx context.Context, c *driver.Client) error {
			reply, err := c.Info(ctx).Result()
			if err != nil {
				return err
			}
			n, err := parseScannedNode(reply, w.link.DB())
			n.client = c
			mu.Lock()
			defer mu.Unlock()
			w.nodes = append(w.nodes, n)
			return err
		})
	})
}

// identify sets the identity of the server. A [Refusal]: it is not the one of the plan.
func (w *noExpiryScan) identify() error {
	ids := make([]string, len(w.nodes))
	for i, n := range w.nodes {
		ids[i] = n.id
	}
	id, err := redis.JoinIDs(ids)
	if err != nil {
		return err
	}
	if w.Server = id; w.Only != "" && w.Only != id {
		return &Refusal{"is another server or has restarted since the plan was made"}
	}
	return nil
}

// parseScannedNode returns which process a node is and how many keys its database db has,
// by the reply of INFO; "" and 0 if it does not say. A [Refusal]: sessions cannot be
// recognized or changed on it, or its version is below 6 or not known.
func parseScannedNode(reply string, db int) (n scannedNode, err error) {
	version := 0
	keys := "db" + strconv.Itoa(db) + ":keys="
	for line := range strings.Lines(reply) {
		line = strings.TrimRight(line, "\r\n")
		name, value, _ := strings.Cut(line, ":")
		switch {
		case name == "run_id":
			n.id = redis.IDText(value)
		case name == "redis_version":
			major, _, _ := strings.Cut(value, ".")
			version, _ = strconv.Atoi(major)
		case name == "role" && value != "master":
			return n, &Refusal{"is a replica, on which keys cannot be changed"}
		case name == "maxmemory_policy" && strings.Contains(value, "lfu"):
			return n, &Refusal{noIdleTime}
		case strings.HasPrefix(line, keys):
			count, _, _ := strings.Cut(line[len(keys):], ",")
			if v := redis.Number(count); v != nil {
				n.keys = *v
			}
		}
	}
	if version < 6 {
		return n, &Refusal{fmt.Sprintf("is version %d: finding sessions needs version 6 or later", version)}
	}
	n.nx = version >= 7
	return n, nil
}
