package redis

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// list lists the nodes; a node on which nothing may be changed is an error.
func (w *noExpiryScan) list(ctx context.Context) error {
	_, w.cluster = w.link.client.(*redis.ClusterClient)
	var mu sync.Mutex
	return w.roundTrip(ctx, func(ctx context.Context) error {
		return w.link.each(ctx, func(ctx context.Context, c *redis.Client) error {
			reply, err := c.Info(ctx).Result()
			if err != nil {
				return err
			}
			n, err := parseScannedNode(reply, w.link.db)
			n.client = c
			mu.Lock()
			defer mu.Unlock()
			w.nodes = append(w.nodes, n)
			return err
		})
	})
}

// identify compares the server with the one of the plan.
func (w *noExpiryScan) identify() error {
	ids := make([]string, len(w.nodes))
	for i, n := range w.nodes {
		ids[i] = n.id
	}
	id, err := serverID(ids)
	if err != nil {
		return err
	}
	if w.Server = id; w.Only != "" && w.Only != id {
		return &Refusal{"is another server or has restarted since the plan was made"}
	}
	return nil
}

// parseScannedNode reads INFO. A server on which sessions cannot be recognized
// or changed is a [Refusal].
func parseScannedNode(reply string, db int) (n scannedNode, err error) {
	version := 0
	keys := "db" + strconv.Itoa(db) + ":keys="
	for line := range strings.Lines(reply) {
		line = strings.TrimRight(line, "\r\n")
		name, value, _ := strings.Cut(line, ":")
		switch {
		case name == "run_id":
			n.id = idText(value)
		case name == "redis_version":
			major, _, _ := strings.Cut(value, ".")
			version, _ = strconv.Atoi(major)
		case name == "role" && value != "master":
			return n, &Refusal{"is a replica, on which keys cannot be changed"}
		case name == "maxmemory_policy" && strings.Contains(value, "lfu"):
			return n, &Refusal{noIdleTime}
		case strings.HasPrefix(line, keys):
			count, _, _ := strings.Cut(line[len(keys):], ",")
			if v := number(count); v != nil {
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
