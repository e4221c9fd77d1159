package e2e_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// TestRedisNumbers compares the metrics with the values of redis-cli. The exporter's user
// has the rights of the documentation only.
func TestRedisNumbers(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/redis.md")
	if line := "\nACL SETUSER resp reset on >PASSWORD " + redisRights + "\n"; err != nil || !strings.Contains(string(page), line) {
		t.Errorf("docs/redis.md does not name the rights that are tested here (%v):%s", err, line)
	}
	r := startRedis(t)
	x := watch(t, export{config: redisSection(t, "cache", r.url(), "socket", fmt.Sprintf("unix://%s@%s", redisUser, r.socket()))})
	eventually(t, 10*time.Second, func() error {
		m := x.scrape(t)
		return all(redisReason(m, "cache", "ok", 1), redisReason(m, "socket", "ok", 1), m.has("resp_redis_ping_seconds", "redis=cache"),
			m.want(1, "resp_redis_info", "redis=cache", "mode=standalone", "role=master"))
	})
	if err := x.scrape(t).has("resp_redis_maxmemory_bytes"); err == nil {
		t.Error("a limit of memory where there is none")
	}
	r.cli("SET", "secretkey", "1")
	for range 9 {
		r.cli("GET", "secretkey")
	}
	r.cli("GET", "secretkey:none")
	start(t, run.Spec{Name: "blocked", Path: "redis-cli", Args: []string{"-p", strconv.Itoa(r.port), "BLPOP", "secretkey:queue", "0"}})
	r.cli("CONFIG", "SET", "maxmemory", "4mb", "maxmemory-policy", "allkeys-lru")
	for i := range 3 {
		r.cli("EVAL", "for i=1,20000 do redis.call('SET', KEYS[1]..i..ARGV[1], string.rep('x', 100)) end", "1", "secretkey", strconv.Itoa(i))
	}
	eventually(t, 10*time.Second, func() error {
		m := x.scrape(t)
		return all(
			m.want(r.info("keyspace_hits"), "resp_redis_keyspace_hits_total", "redis=cache"),
			m.want(r.info("keyspace_misses"), "resp_redis_keyspace_misses_total", "redis=cache"),
			m.want(r.info("evicted_keys"), "resp_redis_evicted_keys_total", "redis=cache"),
			m.want(4<<20, "resp_redis_maxmemory_bytes", "redis=cache"),
			m.want(1, "resp_redis_blocked_clients", "redis=cache"),
			m.want(3, "resp_redis_connected_clients", "redis=cache"), // the blocked one, and the exporter twice
		)
	})
	r.provokeCounters()
	eventually(t, 10*time.Second, func() error {
		m := x.scrape(t)
		return all(
			m.want(r.info("expired_keys"), "resp_redis_expired_keys_total", "redis=cache"),
			m.want(r.info("rejected_connections"), "resp_redis_rejected_connections_total", "redis=cache"),
			m.want(1, "resp_redis_keys", "redis=cache", "db=db3"), m.want(1, "resp_redis_expiring_keys", "redis=cache", "db=db3"),
			r.grows(m, "resp_redis_commands_total", "total_commands_processed"),
			r.grows(m, "resp_redis_received_bytes_total", "total_net_input_bytes"), r.grows(m, "resp_redis_sent_bytes_total", "total_net_output_bytes"),
		)
	})
	r.cli("-n", "3", "FLUSHDB")
	var m metrics
	eventually(t, 5*time.Second, func() error { // a busy machine may answer one read too late
		m = x.scrape(t)
		return all(m.want(0, "resp_redis_keys", "redis=cache", "db=db3"), m.has("resp_redis_keys", "redis=cache", "db=db0"))
	})
	memory, _ := m.sum("resp_redis_memory_bytes", "redis=cache")
	if used := r.info("used_memory"); memory < used/2 || memory > used*2 {
		t.Errorf("memory is %v, redis-cli says %v", memory, used)
	}
	if hits, misses, evicted := r.info("keyspace_hits"), r.info("keyspace_misses"), r.info("evicted_keys"); hits != 9 || misses != 1 || evicted == 0 {
		t.Errorf("hits %v, misses %v, evicted %v", hits, misses, evicted)
	}
	if n := r.ours(); n != 2 {
		t.Errorf("%d connections for two sections", n)
	}
	if log := r.cli("ACL", "LOG"); log != "" {
		t.Errorf("refused: %s", log)
	}
	keepsRedisSecrets(t, x, r.dir)
}

// provokeCounters waits until a key expires, fills another database, and opens a connection
// that is refused.
func (r *redisServer) provokeCounters() {
	r.t.Helper()
	r.cli("-n", "3", "SET", "secretkey", "1", "EX", "1000")
	r.cli("SET", "secretkey:short", "1", "PX", "1")
	eventually(r.t, 10*time.Second, func() error { return wants("expired", r.info("expired_keys") >= 1, true) })
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.port))
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	say := func(command string) string {
		_ = conn.SetDeadline(time.Now().Add(scaled(5 * time.Second)))
		reply := make([]byte, 256)
		_, err := conn.Write([]byte(command + "\r\n"))
		n, readErr := conn.Read(reply)
		if err := errors.Join(err, readErr); err != nil {
			r.t.Fatalf("%s: %v", command, err)
		}
		return string(reply[:n])
	}
	say("CONFIG SET maxclients 4") // the blocked one, the exporter twice, and this one
	eventually(r.t, 10*time.Second, func() error {
		out, _ := exec.Command("redis-cli", "-p", strconv.Itoa(r.port), "PING").CombinedOutput() //nolint:gosec // a test's own server
		return wants("a refusal in "+string(out), strings.Contains(string(out), "max number of clients"), true)
	})
	say("CONFIG SET maxclients 1000")
}

// grows returns an error unless a counter is above 0 and at most what the server says
// afterwards.
func (r *redisServer) grows(m metrics, metric, key string) error {
	v, _ := m.sum(metric, "redis=cache")
	return wants(fmt.Sprintf("%s is %v, the server says %v", metric, v, r.info(key)), v > 0 && v <= r.info(key), true)
}

// TestRedisStopped stops a Redis with SIGSTOP: a scrape takes at most 2 s longer and loses
// only its metrics, no connection or goroutine leaks, and its metrics return within 5 s
// after SIGCONT.
func TestRedisStopped(t *testing.T) {
	t.Parallel()
	hung, well := startRedis(t), startRedis(t)
	x := watch(t, export{config: redisSection(t, "hung", hung.url(), "well", well.url())})
	eventually(t, 10*time.Second, func() error { return redisReason(x.scrape(t), "hung", "ok", 1) })
	before := x.kept(t)
	if err := hung.proc.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for i, header := range []string{"2.25", "", "10", "1"} {
		began := time.Now()
		status, body, err := x.get("/metrics", "X-Prometheus-Scrape-Timeout-Seconds", header)
		if took := time.Since(began); err != nil || status != http.StatusOK || took > scaled(2*time.Second) {
			t.Errorf("timeout %q: status %d after %s, %v", header, status, took, err)
		}
		for _, line := range []string{`resp_up{component="redis:hung"} 0`, `resp_up{component="redis:well"} 1`, "resp_host_memory_usage_ratio ", `resp_redis_memory_bytes{redis="well"}`, `collector="process",reason="ok"} 1`} {
			if !strings.Contains(body, line) {
				t.Errorf("scrape %d has no %s", i, line)
			}
		}
		if strings.Contains(body, `resp_redis_memory_bytes{redis="hung"}`) {
			t.Errorf("scrape %d has numbers of what hangs", i)
		}
	}
	for range 50 {
		if err := redisReason(x.scrape(t), "hung", "timeout", 0); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 10*time.Second, func() error { // a temporary increase ends
		return x.keptMore(t, before, map[string]float64{"goroutines": 4, "descriptors": 2})
	})
	if err := hung.proc.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, func() error { return redisReason(x.scrape(t), "hung", "ok", 1) })
	eventually(t, 5*time.Second, func() error { return wants("connections", hung.ours(), 1) })
	if n := strings.Count(x.Output(1<<20), "collector=redis"); n > 4 {
		t.Errorf("%d lines of log:\n%s", n, x.Output(4000))
	}
	keepsRedisSecrets(t, x)
}

// TestRedisRestart kills a Redis: its metrics end, and return within 5 s after its start.
func TestRedisRestart(t *testing.T) {
	t.Parallel()
	r := startRedis(t, redisUserArgs()...)
	x := watch(t, export{config: redisSection(t, "cache", r.url())})
	eventually(t, 10*time.Second, func() error { return redisReason(x.scrape(t), "cache", "ok", 1) })
	if err := r.proc.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-r.proc.Done()
	repeat(t, 20, 100*time.Millisecond, func() error { return redisReason(x.scrape(t), "cache", "not_found", 0) })
	r.start()
	eventually(t, 5*time.Second, func() error { return redisReason(x.scrape(t), "cache", "ok", 1) })
	// Between two looks it is not even noticed.
	r.cli("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	if err := redisReason(x.scrape(t), "cache", "ok", 1); err != nil {
		t.Error(err)
	}
	keepsRedisSecrets(t, x)
}

// TestRedisReasons checks that each cause of a refused connection has its reason, and is
// logged once.
func TestRedisReasons(t *testing.T) {
	t.Parallel()
	full := startRedis(t)
	// The one place is taken by a client that waits.
	start(t, run.Spec{Name: "blocked", Path: "redis-cli", Args: []string{"-p", strconv.Itoa(full.port), "BLPOP", "queue", "0"}})
	eventually(t, 5*time.Second, func() error { return wants("blocked", full.info("blocked_clients"), 1) })
	full.cli("CONFIG", "SET", "maxclients", "1")
	// It loads for ten minutes, longer than all cases take on a busy machine, and answers after a few keys.
	loading := startRedis(t, append(redisUserArgs(), "--rdbcompression", "no")...)
	loading.cli("EVAL", "for i=1,120000 do redis.call('SET', 'secretkey'..i, string.rep('x', 100)) end", "0")
	loading.cli("SAVE")
	loading.proc.Stop()
	loading.args = append(loading.args, "--key-load-delay", "5000", "--loading-process-events-interval-bytes", "1024")
	loading.start()
	r := startRedis(t)
	r.cli("ACL", "SETUSER", "noinfo", "on", ">"+redisPassword, "-@all", "+ping", "+client|setname")
	r.cli("ACL", "SETUSER", "noname", "on", ">"+redisPassword, "-@all", "+ping", "+info")
	r.cli("ACL", "SETUSER", "off", ">"+redisPassword, "-@all", "+ping", "+info")
	local := fmt.Sprintf("127.0.0.1:%d", r.port)
	for name, c := range map[string]struct {
		url, reason string
		up          float64
	}{
		"wrong password": {"redis://" + redisUser + ":wrong@" + local, "permission", 0},
		"user off":       {"redis://off:" + redisPassword + "@" + local, "permission", 0},
		"no info":        {"redis://noinfo:" + redisPassword + "@" + local, "permission", 1},
		"no name":        {"redis://noname:" + redisPassword + "@" + local, "ok", 1},
		"no select":      {"redis://" + redisUser + ":" + redisPassword + "@" + local + "/3", "permission", 1},
		"nobody there":   {fmt.Sprintf("redis://127.0.0.1:%d", freePort(t)), "not_found", 0},
		"no such name":   {"redis://nobody.invalid", "not_found", 0},
		"no socket":      {"unix:///run/no/such.sock", "not_found", 0},
		"full":           {full.url(), "busy", 0},
		"loading":        {loading.url(), "busy", 0},
		"not TLS":        {"rediss://" + local, "timeout", 0},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(c.url, redisPassword) && !strings.Contains(c.url, "wrong") {
				c.url = strings.Replace(c.url, redisUser+"@", redisUser+":"+redisPassword+"@", 1)
			}
			x := watch(t, export{config: fmt.Sprintf("redis: [{name: cache, url: %q}]\n", c.url)})
			eventually(t, 10*time.Second, func() error { return redisReason(x.scrape(t), "cache", c.reason, c.up) })
			if c.reason == "ok" {
				return // nothing is missing without the name of the connection
			}
			before := x.loggedLacks("redis", c.reason)
			for range 5 {
				x.scrape(t)
			}
			// A server that loads may answer late now and then, and then the change is logged.
			if n := x.loggedLacks("redis", c.reason); before == 0 || n > before+1 {
				t.Errorf("%s is %d times in the log, %d before five scrapes:\n%s", c.reason, n, before, x.Output(3000))
			}
			keepsRedisSecrets(t, x)
		})
	}
}

// TestRedisPasswordRotation checks that a new password is used at the next connect,
// without a reload.
func TestRedisPasswordRotation(t *testing.T) {
	t.Parallel()
	const next = "hunter3hunter3"
	r := startRedis(t)
	file := write(t, filepath.Join(t.TempDir(), "password"), redisPassword)
	x := watch(t, export{config: redisSectionWith(file, "cache", r.url())})
	eventually(t, 10*time.Second, func() error { return redisReason(x.scrape(t), "cache", "ok", 1) })
	r.cli("ACL", "SETUSER", redisUser, "resetpass", ">"+next)
	if err := redisReason(x.scrape(t), "cache", "ok", 1); err != nil {
		t.Errorf("the connection that stands: %v", err)
	}
	r.cli("CLIENT", "KILL", "USER", redisUser)
	// A busy machine may answer one read too late.
	eventually(t, time.Second, func() error { return redisReason(x.scrape(t), "cache", "permission", 0) })
	write(t, file, next)
	eventually(t, time.Second, func() error { return redisReason(x.scrape(t), "cache", "ok", 1) })
	keepsRedisSecrets(t, x, next)
}

// TestRedisReload adds and removes servers by a reload: unchanged servers keep their
// connection.
func TestRedisReload(t *testing.T) {
	t.Parallel()
	one, two := startRedis(t), startRedis(t)
	file := write(t, filepath.Join(t.TempDir(), "password"), redisPassword)
	x := watch(t, export{config: redisSectionWith(file, "one", one.url())})
	eventually(t, 10*time.Second, func() error { return redisReason(x.scrape(t), "one", "ok", 1) })
	reload := func(section string) {
		t.Helper()
		write(t, x.config, x.statsdSection()+section)
		if err := x.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	id := one.cli("CLIENT", "LIST", "TYPE", "normal")
	reload(redisSectionWith(file, "two", two.url(), "one", one.url()))
	eventually(t, 10*time.Second, func() error { return redisReason(x.scrape(t), "two", "ok", 1) })
	if now := one.cli("CLIENT", "LIST", "TYPE", "normal"); strings.Fields(now)[0] != strings.Fields(id)[0] {
		t.Errorf("another connection:\n%s\n%s", id, now)
	}
	reload(redisSectionWith(file, "two", two.url()))
	eventually(t, 10*time.Second, func() error {
		if err := x.scrape(t).has("resp_up", "component=redis:one"); err == nil {
			return fmt.Errorf("the server that is no longer in the configuration is still there")
		}
		return wants("connections to it", one.ours(), 0)
	})
}

// TestRedisTLS connects by TLS with a private CA and a client certificate, which Redis
// requires by default.
func TestRedisTLS(t *testing.T) {
	t.Parallel()
	need(t, "openssl")
	dir := openDir(t)
	openssl(t, dir, "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem")
	openssl(t, dir, "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=redis -keyout redis.key -out redis.csr")
	write(t, filepath.Join(dir, "names"), "subjectAltName=DNS:cache.example,IP:127.0.0.1\n")
	openssl(t, dir, "x509 -req -in redis.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out redis.pem")
	path := func(name string) string { return filepath.Join(dir, name) }
	tlsPort := strconv.Itoa(freePort(t))
	startRedis(t, "--tls-port", tlsPort, "--tls-cert-file", path("redis.pem"), "--tls-key-file", path("redis.key"), "--tls-ca-cert-file", path("ca.pem"))
	own := fmt.Sprintf("cert_file=%s&key_file=%s", path("redis.pem"), path("redis.key"))
	for name, c := range map[string]struct {
		scheme, query, reason string
		up                    float64
	}{
		"whole":       {"rediss", "?ca_file=" + path("ca.pem") + "&" + own, "ok", 1},
		"server name": {"rediss", "?server_name=cache.example&ca_file=" + path("ca.pem") + "&" + own, "ok", 1},
		"no trust":    {"rediss", "?" + own, "failed", 0},
		"other name":  {"rediss", "?server_name=other.example&ca_file=" + path("ca.pem") + "&" + own, "failed", 0},
		"no own":      {"rediss", "?ca_file=" + path("ca.pem"), "failed", 0},
		"no file":     {"rediss", "?ca_file=" + path("none.pem"), "permission", 0},
		"no TLS":      {"redis", "", "failed", 0},
	} {
		t.Run(name, func(t *testing.T) {
			x := watch(t, export{config: redisSection(t, "cache", c.scheme+"://"+redisUser+"@127.0.0.1:"+tlsPort+"/"+c.query)})
			eventually(t, 5*time.Second, func() error { return redisReason(x.scrape(t), "cache", c.reason, c.up) })
			if c.reason != "ok" && x.loggedLacks("redis", c.reason) == 0 {
				t.Errorf("%s is not in the log:\n%s", c.reason, x.Output(3000))
			}
			keepsRedisSecrets(t, x, dir)
		})
	}
}

func openssl(t *testing.T, dir, args string) {
	t.Helper()
	p := start(t, run.Spec{Name: "openssl", Path: "openssl", Args: strings.Fields(args), Dir: dir})
	<-p.Done()
	if err := p.Err(); err != nil && !strings.HasSuffix(err.Error(), "ended") {
		t.Fatalf("%v\n%s", err, p.Output(2000))
	}
}

// cpu is the processor time of a process in seconds.
func cpu(t *testing.T, pid int) float64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	if err != nil {
		t.Fatal(err)
	}
	ns, err := strconv.ParseFloat(strings.Fields(string(b))[0], 64)
	if err != nil {
		t.Fatal(err)
	}
	return ns / 1e9
}

// TestRedisCost checks that a scrape takes less than 1 ms of a Redis's CPU time.
func TestRedisCost(t *testing.T) {
	r := startRedis(t)
	x := watch(t, export{config: redisSection(t, "cache", r.url())})
	eventually(t, 10*time.Second, func() error { return redisReason(x.scrape(t), "cache", "ok", 1) })
	const scrapes = 200
	before := cpu(t, r.proc.PID())
	for range scrapes {
		if err := redisReason(x.scrape(t, "?collect[]=redis"), "cache", "ok", 1); err != nil {
			t.Fatal(err)
		}
	}
	each := (cpu(t, r.proc.PID()) - before) / scrapes
	t.Logf("%.0f µs of Redis' main thread a scrape", each*1e6)
	if each > 1e-3 {
		t.Errorf("%.0f µs of Redis a scrape", each*1e6)
	}
}
