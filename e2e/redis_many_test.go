package e2e_test

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// TestRedisSentinel checks that the exporter reads the master that sentinels name, and the
// new master after a failover.
func TestRedisSentinel(t *testing.T) {
	t.Parallel()
	master := startRedis(t, redisUserArgs()...)
	replica := startRedis(t, append(redisUserArgs(), "--replicaof", "127.0.0.1 "+strconv.Itoa(master.port))...)
	port, dir := freePort(t), openDir(t)
	file := write(t, filepath.Join(dir, "sentinel.conf"), joined(
		"port "+strconv.Itoa(port), "bind 127.0.0.1", "dir "+dir,
		fmt.Sprintf("sentinel monitor mymaster 127.0.0.1 %d 1", master.port),
		"sentinel down-after-milliseconds mymaster 60000", "sentinel failover-timeout mymaster 5000", // a busy machine is no failure
	))
	start(t, run.Spec{Name: "sentinel", Path: "redis-server", Args: []string{file, "--sentinel"}, Dir: dir})
	eventually(t, 20*time.Second, func() error { return wants("replicas", master.info("connected_slaves"), 1) })
	x := watch(t, export{config: redisSection(t,
		"cache", fmt.Sprintf("redis+sentinel://%s@127.0.0.1:%d/mymaster?db=0", redisUser, port),
		"copy", replica.url())})
	eventually(t, 20*time.Second, func() error {
		m := x.scrape(t)
		return all(redisReason(m, "cache", "ok", 1), m.want(1, "resp_redis_info", "redis=cache", "role=master"), m.want(1, "resp_redis_info", "redis=copy", "role=slave"))
	})
	if n := master.ours(); n != 1 {
		t.Errorf("%d connections to the master", n)
	}
	// The sentinel must know the replica to promote it.
	sentinel := &redisServer{t: t, port: port}
	eventually(t, 20*time.Second, func() error {
		s := sentinel.cli("SENTINEL", "replicas", "mymaster")
		if !strings.Contains(s, strconv.Itoa(replica.port)) {
			return fmt.Errorf("the sentinel knows no replica: %s", s)
		}
		return nil
	})
	sentinel.cli("SENTINEL", "SET", "mymaster", "down-after-milliseconds", "1000")
	if err := master.proc.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-master.proc.Done()
	eventually(t, 40*time.Second, func() error {
		m := x.scrape(t)
		return all(redisReason(m, "cache", "ok", 1), m.want(1, "resp_redis_info", "redis=copy", "role=master"), wants("connections", replica.ours(), 2))
	})
	keepsRedisSecrets(t, x)
}

// TestRedisCluster checks that all masters of a cluster are read, and that a missing one is
// reported.
func TestRedisCluster(t *testing.T) {
	t.Parallel()
	var nodes []*redisServer
	var addrs []string
	for range 3 {
		n := startRedis(t, append(redisUserArgs(), "--cluster-enabled", "yes", "--cluster-node-timeout", "15000")...)
		n.cli("ACL", "SETUSER", redisUser, "+cluster|slots")
		nodes, addrs = append(nodes, n), append(addrs, fmt.Sprintf("127.0.0.1:%d", n.port))
	}
	nodes[0].cli("--cluster", append(append([]string{"create"}, addrs...), "--cluster-yes")...)
	eventually(t, 20*time.Second, func() error {
		if s := nodes[2].cli("CLUSTER", "INFO"); !strings.Contains(s, "cluster_state:ok") {
			return fmt.Errorf("%s", s)
		}
		return nil
	})
	for i := range 30 {
		nodes[0].cli("-c", "SET", "secretkey"+strconv.Itoa(i), "1")
		nodes[0].cli("-c", "GET", "secretkey"+strconv.Itoa(i))
	}
	x := watch(t, export{config: redisSection(t, "cluster", "redis+cluster://"+redisUser+"@"+addrs[0]+","+addrs[1])})
	eventually(t, 20*time.Second, func() error {
		m := x.scrape(t)
		return all(redisReason(m, "cluster", "ok", 1), m.want(1, "resp_redis_info", "redis=cluster", "mode=cluster", "role=master"),
			m.want(30, "resp_redis_keyspace_hits_total", "redis=cluster"), m.has("resp_redis_ping_seconds", "redis=cluster"))
	})
	for range 20 {
		x.scrape(t)
	}
	for _, n := range nodes {
		if c := n.ours(); c == 0 || c > 2 {
			t.Errorf("%d connections to a node", c)
		}
		if log := n.cli("ACL", "LOG"); log != "" {
			t.Errorf("refused: %s", log)
		}
	}
	if err := nodes[2].proc.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	m := x.scrape(t)
	if took := time.Since(began); took > scaled(2*time.Second) {
		t.Errorf("a scrape took %s", took)
	}
	if err := m.want(0, "resp_up", "component=redis:cluster"); err != nil {
		t.Error(err)
	}
	if err := m.has("resp_redis_keyspace_hits_total"); err == nil {
		t.Error("sums of a part of the cluster")
	}
	if err := nodes[2].proc.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, func() error { return redisReason(x.scrape(t), "cluster", "ok", 1) })
	keepsRedisSecrets(t, x)
}
