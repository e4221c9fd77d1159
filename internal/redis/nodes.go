package redis

import (
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/openfiles"
)

// minNodes and maxNodes bound the nodes of a cluster, replicas included.
const minNodes, maxNodes = 16, 500

// nodes are the addresses that one client may connect to. A cluster itself names
// them: without a bound it could make the exporter connect to as many addresses
// as there are slots, and log in at each. A cluster that names more is connected
// to at none of them.
type nodes struct {
	most int
	over atomic.Bool // more were named

	mu   sync.Mutex
	seen map[string]bool
	rest *redis.Client // stands for each node beyond the bound
}

// newNodes returns an empty set of nodes, whose limit depends on how many files this
// process may open.
func newNodes() *nodes {
	return &nodes{most: mostNodes(openfiles.Limit(openfiles.RedisNodes)), seen: make(map[string]bool)}
}

// mostNodes returns how many nodes of a cluster are read, between minNodes and maxNodes,
// with two connections to each.
func mostNodes(connections int) int { return min(max(connections/2, minNodes), maxNodes) }

// admits reports whether a client may connect to an address: one that was admitted
// before, or while there are not too many.
func (n *nodes) admits(addr string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.seen[addr] && len(n.seen) >= n.most {
		n.over.Store(true)
		return false
	}
	n.seen[addr] = true
	return true
}

// client returns the client of one node, which connects at its first command. All nodes
// beyond the bound share one, whose connects fail.
func (n *nodes) client(o *redis.Options) *redis.Client {
	if n.admits(o.Addr) {
		return redis.NewClient(o)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.rest == nil {
		n.rest = redis.NewClient(o)
	}
	return n.rest
}
