package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sessionRights are those of docs/redis.md that the walk over sessions needs.
const sessionRights = "+scan +ttl +memory|usage %R~session:*"

// startSessions starts a Redis whose user may count sessions, also after a
// restart, and with less if rights are given.
func startSessions(t *testing.T, args ...string) *redisServer {
	t.Helper()
	r := startRedis(t, append(append(redisUserArgs(), strings.Fields(sessionRights)...), args...)...)
	r.cli("ACL", append([]string{"SETUSER", redisUser}, strings.Fields(sessionRights)...)...)
	return r
}

// fill makes n keys that begin with prefix, of which the first forever have no
// expiry, the next late ones a long one, and the others one of an hour.
func (r *redisServer) fill(prefix string, n, forever, late int) {
	r.t.Helper()
	r.cli("EVAL", `for i = 1, tonumber(ARGV[2]) do
		local key, value = ARGV[1] .. i, string.rep('x', 100 + i % 16)
		if i <= tonumber(ARGV[3]) then redis.call('SET', key, value)
		elseif i <= tonumber(ARGV[3]) + tonumber(ARGV[4]) then redis.call('SET', key, value, 'EX', 10000)
		else redis.call('SET', key, value, 'EX', 3600) end end`,
		"0", prefix, strconv.Itoa(n), strconv.Itoa(forever), strconv.Itoa(late))
}

// keepsSessions is the configuration of an app that is not there, with sessions
// in some Redis, walked every second.
func keepsSessions(redis, prefix string) string {
	return fmt.Sprintf("monitoring_interval: 1s\napps:\n  - {name: shop, match: {cmdline: no-such-program}, sessions: [{redis: %s, prefix: %q, lifetime: 2h}]}\n", redis, prefix)
}

func sessionsReason(m metrics, reason string) error {
	available := 0.0
	if reason == "ok" {
		available = 1
	}
	return m.want(available, "resp_collector_available", "collector=sessions", "reason="+reason)
}

// near returns an error unless the series is within 5 % of v.
func (m metrics) near(v float64, name string, pairs ...string) error {
	got, ok := m.sum(name, pairs...)
	if !ok || got < 0.95*v || got > 1.05*v {
		return fmt.Errorf("%s%v is %v (%t), want about %v", name, pairs, got, ok, v)
	}
	return nil
}

// without returns an error if there is a series with one of the names.
func (m metrics) without(names ...string) error {
	for _, name := range names {
		if m.has(name) == nil {
			return fmt.Errorf("there is %s", name)
		}
	}
	return nil
}

// TestSessions checks that exactly the keys of the prefix are counted, whatever other
// names exist, with the documented rights.
func TestSessions(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/redis.md")
	if line := "\nACL SETUSER resp " + sessionRights + "\n"; err != nil || !strings.Contains(string(page), line) {
		t.Errorf("docs/redis.md does not name the rights that are tested here (%v):%s", err, line)
	}
	r := startSessions(t)
	r.cli("ACL", "SETUSER", redisUser, `%R~web\[\*\]\?:*`)
	r.fill("session:secretkey:", 5000, 1234, 321)
	r.fill(`web[*]?:secretkey:`, 50, 7, 0)
	for _, other := range []string{"session-", "sessions:", "Session:", "webx:", "web[a]b:", "web*?:", "cart:"} {
		r.fill(other+"secretkey:", 200, 100, 0)
	}
	x := watch(t, export{config: redisSection(t, "cache", r.url()) + keepsSessions("cache", "session:") +
		"  - {name: blog, match: {cmdline: no-such-program-either}, sessions: [{redis: cache, prefix: \"web[*]?:\"}]}\n"})
	eventually(t, 90*time.Second, func() error {
		m := x.scrape(t)
		return all(m.want(5000, "resp_sessions", "app=shop", "redis=cache"), m.want(50, "resp_sessions", "app=blog", "redis=cache"))
	})
	weigh := func(pattern string) float64 {
		total, err := strconv.ParseFloat(r.cli("EVAL", "local n = 0 for _, k in ipairs(redis.call('KEYS', ARGV[1])) do n = n + redis.call('MEMORY', 'USAGE', k) end return n", "0", pattern), 64)
		if err != nil {
			t.Fatal(err)
		}
		return total
	}
	var m metrics
	eventually(t, 20*time.Second, func() error { // a busy machine may answer one read of a scan too late
		m = x.scrape(t)
		return all(
			m.want(1234, "resp_sessions_without_expiry", "app=shop", "redis=cache"), m.want(7, "resp_sessions_without_expiry", "app=blog"),
			m.want(321, "resp_sessions_over_lifetime", "app=shop", "redis=cache"),
			m.near(weigh("session:*"), "resp_session_bytes", "app=shop"), m.near(weigh(`web\[\*\]\?:*`), "resp_session_bytes", "app=blog"),
			m.has("resp_session_scan_coverage_ratio", "app=shop", "redis=cache"), m.has("resp_session_scan_age_seconds", "app=shop", "redis=cache"),
			sessionsReason(m, "ok"),
		)
	})
	if _, ok := m.sum("resp_sessions_over_lifetime", "app=blog"); ok {
		t.Error("sessions over a lifetime where none is said")
	}
	if n := r.ours(); n > 2 {
		t.Errorf("%d connections", n)
	}
	if log := r.cli("ACL", "LOG"); log != "" {
		t.Errorf("refused: %s", log)
	}
	r.cli("FLUSHALL")
	eventually(t, 90*time.Second, func() error {
		m := x.scrape(t)
		return all(m.want(0, "resp_sessions", "app=shop"), m.want(0, "resp_sessions_without_expiry", "app=shop"), m.want(0, "resp_session_bytes", "app=shop"))
	})
	keepsRedisSecrets(t, x)
}

// TestSessionsRestart checks that a scan continues after a reload and a lost connection,
// and starts again with the keys of a restarted Redis.
func TestSessionsRestart(t *testing.T) {
	t.Parallel()
	r := startSessions(t)
	r.fill("session:secretkey:", 200_000, 100, 0) // the scan lasts longer than what is done meanwhile
	file := write(t, filepath.Join(t.TempDir(), "password"), redisPassword)
	section := redisSectionWith(file, "cache", r.url()) + keepsSessions("cache", "session:")
	x := watch(t, export{config: section})
	covers := func(least float64) float64 {
		t.Helper()
		var covered float64
		eventually(t, 60*time.Second, func() error {
			m := x.scrape(t)
			covered, _ = m.sum("resp_session_scan_coverage_ratio", "app=shop")
			if covered < least || covered == 1 {
				return fmt.Errorf("covered %v", covered)
			}
			return m.without("resp_sessions", "resp_sessions_without_expiry", "resp_sessions_over_lifetime", "resp_session_bytes")
		})
		return covered
	}
	before := covers(0.005)
	r.cli("CLIENT", "KILL", "USER", redisUser)
	loaded, _ := x.scrape(t).sum("resp_config_last_reload_success_timestamp_seconds")
	write(t, x.config, x.statsdSection()+strings.Replace(section, "interval: 1s", "interval: 2s", 1))
	if err := x.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, func() error {
		now, _ := x.scrape(t).sum("resp_config_last_reload_success_timestamp_seconds")
		return wants("reloaded", now > loaded, true)
	})
	covers(before + 0.002)
	if err := r.proc.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-r.proc.Done()
	eventually(t, 30*time.Second, func() error { return sessionsReason(x.scrape(t), "not_found") })
	r.start()
	r.fill("session:secretkey:", 321, 21, 0)
	eventually(t, 90*time.Second, func() error {
		m := x.scrape(t)
		return all(sessionsReason(m, "ok"), m.want(321, "resp_sessions", "app=shop"), m.want(21, "resp_sessions_without_expiry", "app=shop"))
	})
	keepsRedisSecrets(t, x)
}

// TestSessionsStopped checks that a Redis that hangs during a scan delays no scrape, and
// that the scan continues when Redis does.
func TestSessionsStopped(t *testing.T) {
	t.Parallel()
	r := startSessions(t)
	r.fill("session:secretkey:", 800, 8, 0)
	x := watch(t, export{config: redisSection(t, "cache", r.url()) + keepsSessions("cache", "session:")})
	eventually(t, 60*time.Second, func() error { return x.scrape(t).want(800, "resp_sessions", "app=shop") })
	before := x.kept(t)
	if err := r.proc.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, 60*time.Second, func() error {
		m := x.scrape(t, "?collect[]=sessions")
		return all(sessionsReason(m, "timeout"), m.without("resp_sessions"), m.has("resp_session_scan_age_seconds", "app=shop"))
	})
	for range 30 {
		began := time.Now()
		x.scrape(t)
		if took := time.Since(began); took > scaled(2*time.Second) {
			t.Errorf("a scrape took %s", took)
		}
	}
	eventually(t, 10*time.Second, func() error { // a temporary increase ends
		return x.keptMore(t, before, map[string]float64{"goroutines": 4, "descriptors": 3})
	})
	if err := r.proc.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, 60*time.Second, func() error {
		m := x.scrape(t)
		return all(sessionsReason(m, "ok"), m.want(800, "resp_sessions", "app=shop"), redisReason(m, "cache", "ok", 1))
	})
	if n := x.lackLines("sessions"); n > 6 {
		t.Errorf("%d lines of log:\n%s", n, x.Output(4000))
	}
	keepsRedisSecrets(t, x)
}

// TestSessionsReasons checks that a missing right is reported and logged once, with the
// rule that grants it, that the metrics of the other rights are there, and that a right
// that is granted later is noticed.
func TestSessionsReasons(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		without, right string // right is what the remedy grants
		lacks          []string
	}{
		"scan":   {"-scan", "+scan", []string{"resp_sessions", "resp_sessions_without_expiry", "resp_session_bytes"}},
		"ttl":    {"-ttl", "+ttl", []string{"resp_sessions_without_expiry", "resp_sessions_over_lifetime"}},
		"memory": {"-memory|usage", "+memory|usage", []string{"resp_session_bytes"}},
		"keys":   {"resetkeys", "%R~<prefix>*", []string{"resp_sessions_without_expiry", "resp_session_bytes"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startSessions(t)
			r.cli("ACL", "SETUSER", redisUser, c.without)
			r.fill("session:secretkey:", 300, 30, 0)
			x := watch(t, export{config: redisSection(t, "cache", r.url()) + keepsSessions("cache", "session:")})
			eventually(t, 30*time.Second, func() error {
				m := x.scrape(t)
				if c.without != "-scan" {
					return all(sessionsReason(m, "permission"), m.want(300, "resp_sessions", "app=shop"), m.without(c.lacks...))
				}
				return all(sessionsReason(m, "permission"), m.without(c.lacks...))
			})
			for range 5 {
				eventually(t, 5*time.Second, func() error { // on a busy machine a late answer may come between
					m := x.scrape(t)
					return all(redisReason(m, "cache", "ok", 1), sessionsReason(m, "permission"))
				})
			}
			eventually(t, 20*time.Second, func() error {
				s, err := x.status()
				return all(err, s.lacks("sessions", "permission", c.right))
			})
			// After a late answer it is logged again.
			if n := x.loggedLacks("sessions", "permission"); n < 1 || n > 2 {
				t.Errorf("%d lines of log:\n%s", n, x.Output(3000))
			}
			r.cli("ACL", append([]string{"SETUSER", redisUser}, strings.Fields(sessionRights)...)...)
			eventually(t, 60*time.Second, func() error {
				m := x.scrape(t)
				return all(sessionsReason(m, "ok"), m.want(300, "resp_sessions", "app=shop"), m.want(30, "resp_sessions_without_expiry", "app=shop"), m.has("resp_session_bytes", "app=shop"))
			})
			keepsRedisSecrets(t, x)
		})
	}
}

// TestSessionsCluster checks that each master of a cluster is scanned and no key is
// counted twice.
func TestSessionsCluster(t *testing.T) {
	t.Parallel()
	var nodes []*redisServer
	var addrs []string
	for range 3 {
		n := startSessions(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "15000")
		n.cli("ACL", "SETUSER", redisUser, "+cluster|slots")
		nodes, addrs = append(nodes, n), append(addrs, fmt.Sprintf("127.0.0.1:%d", n.port))
	}
	nodes[0].cli("--cluster", append(append([]string{"create"}, addrs...), "--cluster-yes")...)
	eventually(t, 30*time.Second, func() error {
		for _, n := range nodes {
			if s := n.cli("CLUSTER", "INFO"); !strings.Contains(s, "cluster_state:ok") {
				return fmt.Errorf("%s", s)
			}
		}
		return nil
	})
	for i := range 90 {
		nodes[0].cli("-c", "SET", "session:secretkey"+strconv.Itoa(i), "1")
	}
	x := watch(t, export{config: redisSection(t, "cluster", "redis+cluster://"+redisUser+"@"+addrs[0]+","+addrs[1]) + keepsSessions("cluster", "session:")})
	eventually(t, 60*time.Second, func() error {
		m := x.scrape(t)
		return all(sessionsReason(m, "ok"), m.want(90, "resp_sessions", "redis=cluster"), m.want(90, "resp_sessions_without_expiry", "redis=cluster"))
	})
	for _, n := range nodes {
		if c := n.ours(); c == 0 || c > 2 {
			t.Errorf("%d connections to a node", c)
		}
		if log := n.cli("ACL", "LOG"); log != "" {
			t.Errorf("refused: %s", log)
		}
	}
	keepsRedisSecrets(t, x)
}
