package e2e_test

import (
	"database/sql"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/mariadb"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// redisCommands are those that the exporter sends, with what needs each.
func redisCommands() map[string]string {
	return map[string]string{
		"client": "", "hello": "", "select": "keys", "ping": "ping", "info": "info", "scan": "scan", "ttl": "expiry", "memory": "bytes",
		"llen": "length", "lrange": "task", "zcard": "task", "zcount": "task", "zrangebyscore": "task", "scard": "task", "srandmember": "task", "hmget": "task",
	}
}

// lacking starts a Redis with something in it that lacks one command.
func lacking(t *testing.T, command string, more ...string) int {
	t.Helper()
	need(t, "redis-server", "redis-cli")
	port, dir := freePort(t), openDir(t)
	args := []string{"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--daemonize", "no", "--rename-command", command, ""}
	start(t, run.Spec{Name: "redis-server", Path: "redis-server", Args: append(args, more...), Dir: dir})
	eventually(t, 20*time.Second, func() error {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	return port
}

// fill puts a session and a job into both databases that are looked at.
func fill(t *testing.T, port int) {
	t.Helper()
	for _, db := range []string{"0", "3"} {
		for _, c := range [][]string{{"SET", "session:1", "x"}, {"RPUSH", "rq:queue:default", "job1"}, {"SADD", "rq:workers:default", "rq:worker:a"}} {
			argv := append([]string{"-p", strconv.Itoa(port), "-n", db}, c...)
			if out := tool(t, "", "redis-cli", argv...); strings.Contains(out, "ERR") && db == "0" {
				t.Fatalf("%v: %s", c, out)
			}
		}
	}
}

// TestTruthRedisCommands removes one command of a Redis, or the right to it: the server is
// up, the metrics of that command are missing with a reason, and all others are there.
func TestTruthRedisCommands(t *testing.T) {
	t.Parallel()
	admin := startRedis(t)
	fill(t, admin.port)
	redis, apps := "redis:\n", "apps:\n"
	place := func(name, url string) {
		redis += fmt.Sprintf("  - {name: %s, url: %q}\n", name, url)
		apps += fmt.Sprintf("  - {name: %s, match: {cmdline: no_such_%s}, sessions: [{redis: %s, prefix: \"session:\"}], tasks: [{type: rq, redis: %s}]}\n", name, name, name, name)
	}
	for command := range redisCommands() {
		port := lacking(t, command)
		fill(t, port)
		db := map[bool]int{true: 3}[command == "select"]
		place("renamed-"+command, fmt.Sprintf("redis://127.0.0.1:%d/%d", port, db))
	}
	first := watch(t, export{config: redis + apps})
	redis, apps = "redis:\n", "apps:\n"
	for command := range redisCommands() {
		if command == "hello" { // no right is needed for it
			continue
		}
		rule := map[string]string{"client": "-client|setname", "memory": "-memory|usage"}[command]
		if rule == "" {
			rule = "-" + command
		}
		user := "hunter" + command
		rights := strings.Fields("reset on >" + redisPassword + " ~* " + redisRights + " +select +scan +ttl +memory|usage " + strings.ReplaceAll(rqRights, "%R~rq:*", "") + rule)
		admin.cli("ACL", append([]string{"SETUSER", user}, rights...)...)
		db := map[bool]int{true: 3}[command == "select"]
		place("forbidden-"+command, fmt.Sprintf("redis://%s:%s@127.0.0.1:%d/%d", user, redisPassword, admin.port, db))
	}
	second := watch(t, export{config: redis + apps})
	for x, how := range map[*exporter]string{first: "renamed-", second: "forbidden-"} {
		eventually(t, 60*time.Second, func() error {
			m := x.scrape(t)
			var err error
			for command, tells := range redisCommands() {
				if how == "renamed-" || command != "hello" {
					err = all(err, lacksOne(m, how+command, tells))
				}
			}
			return err
		})
		eventually(t, 20*time.Second, func() error { // a busy machine may answer one read too late
			d, errs := beside(t, x), []error{}
			for command, tells := range redisCommands() {
				if how == "renamed-" || command != "hello" {
					reason := map[string]string{"renamed-": "unsupported", "forbidden-": "permission"}[how]
					errs = append(errs, d.reports("redis:"+how+command, reason, tells != ""))
				}
			}
			return all(errs...)
		})
		keepsRedisSecrets(t, x, "hunterping", "session:1")
	}
}

// reports returns an error unless there is a finding about a server with that reason, or
// without want no finding about it.
func (x examined) reports(of, reason string, want bool) error {
	var all []found
	for _, s := range x.Sections {
		for _, f := range s.Findings {
			if f.Of == of {
				all = append(all, f)
			}
		}
	}
	if got := slices.ContainsFunc(all, func(f found) bool { return f.Reason == reason }); got != want || !want && len(all) > 0 {
		return fmt.Errorf("findings about %s: %+v, want %s: %t", of, all, reason, want)
	}
	return nil
}

// lacksOne returns an error unless a Redis is up and has all metrics but those of one
// command.
func lacksOne(m metrics, name, lacks string) error {
	errs := []error{m.want(1, "resp_up", "component=redis:"+name), m.has("resp_redis_ping_seconds", "redis="+name)}
	for part, metric := range map[string]string{
		"info": "resp_redis_memory_bytes", "scan": "resp_sessions", "expiry": "resp_sessions_without_expiry", "bytes": "resp_session_bytes",
		"length": "resp_task_queue_length", "task": "resp_task_orphaned",
	} {
		label := "redis=" + name
		if strings.HasPrefix(metric, "resp_task") {
			label = "app=" + name
		}
		gone := part == lacks || lacks == "scan" && (part == "expiry" || part == "bytes") || lacks == "length" && part == "task" || lacks == "keys" && part != "info"
		if gone {
			errs = append(errs, m.lacks(metric, label))
		} else {
			errs = append(errs, m.has(metric, label))
		}
	}
	return all(errs...)
}

// TestTruthRedisLogin checks that the exporter logs in by HELLO where AUTH is missing, and
// that the lack of both is reported.
func TestTruthRedisLogin(t *testing.T) {
	t.Parallel()
	auth := lacking(t, "auth", "--requirepass", redisPassword)
	both := lacking(t, "auth", "--rename-command", "hello", "", "--requirepass", redisPassword)
	file := write(t, filepath.Join(t.TempDir(), "password"), redisPassword)
	x := watch(t, export{config: redisSectionWith(file, "one", fmt.Sprintf("redis://127.0.0.1:%d", auth), "two", fmt.Sprintf("redis://127.0.0.1:%d", both))})
	eventually(t, 20*time.Second, func() error {
		m := x.scrape(t)
		s, err := x.status()
		return all(err, s.lacks("redis", "unsupported", "two", "AUTH"), m.want(1, "resp_up", "component=redis:one"),
			m.has("resp_redis_memory_bytes", "redis=one"), redisReason(m, "two", "unsupported", 0))
	})
}

// TestTruthMySQLIdleConnections checks that a server is up at each scrape although it closes
// idle connections (wait_timeout), or an administrator ends the exporter's connection.
func TestTruthMySQLIdleConnections(t *testing.T) {
	t.Parallel()
	short, killed := database(t, "--wait-timeout=3"), database(t)
	x := watch(t, export{config: "monitoring_interval: 1h\n" + fmt.Sprintf("mysql: [{name: short, dsn: \"resp@tcp(127.0.0.1:%d)/\", password_file: %s}, {name: killed, dsn: \"resp@unix(%s)/\", password_file: %s}]\n",
		short.Port, passwordFile(t), killed.Socket, passwordFile(t))})
	up := func() error {
		m := x.scrape(t)
		return all(m.want(1, "resp_up", "component=mysql:short"), m.want(1, "resp_up", "component=mysql:killed"), m.has("resp_mysql_lock_waits", "mysql=short"), m.has("resp_mysql_lock_waits", "mysql=killed"))
	}
	eventually(t, 20*time.Second, up)
	before := x.lackLines("mysql")
	for i := range 4 {
		passes(t, 5*time.Second, "the server closes a connection that is idle for longer than wait_timeout")
		execute(t, killed, "KILL USER 'resp'")
		if err := up(); err != nil {
			t.Errorf("scrape %d: %v", i, err)
		}
	}
	if n := x.lackLines("mysql"); n > before {
		t.Errorf("%d lines about connections that were closed:\n%s", n-before, x.Output(3000))
	}
}

// fillUp opens connections of the app until the server accepts no more for a while: one
// that was just closed may hold a place for a moment.
func fillUp(t *testing.T, s *mariadb.Server) {
	t.Helper()
	refused := time.Time{}
	eventually(t, 20*time.Second, func() error {
		for range 30 {
			db, err := s.OpenTCP("shop", "shop")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			conn, err := db.Conn(t.Context())
			switch {
			case err == nil:
				t.Cleanup(func() { _ = conn.Close() })
				refused = time.Time{}
			case refused.IsZero():
				refused = time.Now()
				return err
			case time.Since(refused) < 2*time.Second:
				return err
			default:
				return nil
			}
		}
		return errors.New("the server is never full")
	})
}

// TestTruthMySQLFull fills all connections of a server: it is unhealthy with one cause that
// names their holder, both with and without a connection of the exporter.
func TestTruthMySQLFull(t *testing.T) {
	t.Parallel()
	s := database(t)
	config := mysqlSection(t, "main", s) + fmt.Sprintf("apps: [{name: store, match: {listen: \"127.0.0.1:%d\"}, pools: [{name: main, mysql: main, user: shop}]}]\n", freePort(t))
	early := watch(t, export{config: config})
	eventually(t, 20*time.Second, func() error {
		return early.scrape(t).want(0, "resp_health_status", "app=", "component=mysql")
	})
	execute(t, s, "SET GLOBAL max_connections = 12")
	fillUp(t, s)
	full := func(x *exporter, up float64) (statusJSON, error) {
		m := x.scrape(t)
		s, err := x.status()
		return s, all(err, m.want(up, "resp_up", "component=mysql:main"), m.want(2, "resp_health_status", "app=", "component=mysql"))
	}
	// The list of variables is at most a minute old.
	eventually(t, 90*time.Second, func() error {
		s, err := full(early, 1)
		m := early.scrape(t)
		return all(err, s.advises("shop", "127.0.0.1", "store", "12"), m.want(12, "resp_mysql_connections", "mysql=main"), m.want(12, "resp_mysql_max_connections", "mysql=main"))
	})
	late := watch(t, export{config: config})
	eventually(t, 20*time.Second, func() error {
		s, err := full(late, 0)
		return all(err, s.lacks("mysql", "busy", "main"))
	})
	silent(t, early)
}

// TestTruthCacheHitRate checks that the hit rate is not evaluated for few lookups, nor for a
// Redis that holds tasks or sessions.
func TestTruthCacheHitRate(t *testing.T) {
	t.Parallel()
	few, jobs, cache := startRedis(t), startRedis(t), startRedis(t)
	app := fmt.Sprintf("apps: [{name: store, match: {listen: \"127.0.0.1:%d\"}, tasks: [{type: rq, redis: jobs}]}]\n", freePort(t))
	jobs.cli("ACL", append([]string{"SETUSER", redisUser}, strings.Fields(rqRights)...)...)
	x := watch(t, export{config: redisSection(t, "few", few.url(), "jobs", jobs.url()) + app})
	judged := watch(t, export{config: redisSection(t, "cache", cache.url())})
	eventually(t, 20*time.Second, func() error { return x.scrape(t).want(0, "resp_health_status", "app=", "component=redis") })
	eventually(t, 20*time.Second, func() error {
		return judged.scrape(t).want(0, "resp_health_status", "app=", "component=redis")
	})
	miss := func(r *redisServer, n int) {
		r.cli("EVAL", "for i=1,tonumber(ARGV[1]) do redis.call('GET', 'none') end", "0", strconv.Itoa(n))
	}
	for range 4 {
		miss(few, 92)
		miss(jobs, 1000)
		miss(cache, 1000)
		quiet(t, 3*time.Second, 500*time.Millisecond, "misses of what is no cache harm nothing", func() error {
			return x.scrape(t).want(0, "resp_health_status", "app=", "component=redis")
		})
	}
	eventually(t, 20*time.Second, func() error {
		return judged.scrape(t).want(2, "resp_health_status", "app=", "component=redis")
	})
}

// TestTruthCacheBySection checks that the configuration overrides whether a Redis is a
// cache.
func TestTruthCacheBySection(t *testing.T) {
	t.Parallel()
	no, yes := startRedis(t), startRedis(t)
	file := write(t, filepath.Join(t.TempDir(), "password"), redisPassword)
	x := watch(t, export{config: fmt.Sprintf("redis: [{name: \"no\", url: %q, password_file: %s, cache: false}, {name: \"yes\", url: %q, password_file: %s, cache: true}]\n", no.url(), file, yes.url(), file)})
	eventually(t, 20*time.Second, func() error {
		m := x.scrape(t)
		return all(m.want(0, "resp_redis_cache", "redis=no"), m.want(1, "resp_redis_cache", "redis=yes"))
	})
}

// asleep runs a statement of a user that lasts until the test ends.
func asleep(t *testing.T, open func() (*sql.DB, error)) {
	t.Helper()
	db, err := open()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); _ = db.Close() })
	background(t, conn, "SELECT SLEEP(1000)")
}

// TestTruthOneLongStatement checks that one statement of more than 5 s, such as a dump, is
// not critical. Several statements of the app are, and one that waits for a lock is.
func TestTruthOneLongStatement(t *testing.T) {
	t.Parallel()
	s := database(t)
	pools := fmt.Sprintf("apps: [{name: store, match: {listen: \"127.0.0.1:%d\"}, pools: [{name: main, mysql: main, user: shop}]}]\n", freePort(t))
	bare, named := watch(t, export{config: mysqlSection(t, "main", s)}), watch(t, export{config: mysqlSection(t, "main", s) + pools})
	shop := func() (*sql.DB, error) { return s.OpenTCP("shop", "shop") }
	asleep(t, s.Root)
	level := func(x *exporter, v float64) error {
		m := x.scrape(t)
		longest, _ := m.sum("resp_mysql_longest_query_seconds", "mysql=main")
		if longest < 6 {
			return fmt.Errorf("the longest statement has run for %v s", longest)
		}
		return m.want(v, "resp_health_status", "app=", "component=mysql")
	}
	healthy := func() error { return all(level(bare, 0), level(named, 0)) }
	eventually(t, 30*time.Second, healthy)
	quiet(t, 6*time.Second, 500*time.Millisecond, "a dump harms nothing, also when the health is evaluated again", healthy)
	asleep(t, s.Root) // a second dump, of no pool
	quiet(t, 12*time.Second, 500*time.Millisecond, "two dumps harm no pool", func() error { return level(named, 0) })
	asleep(t, shop)
	asleep(t, shop)
	eventually(t, 30*time.Second, func() error { return all(level(bare, 2), level(named, 2)) })
}
