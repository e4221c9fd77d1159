package e2e_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/mariadb"
)

// stored is an app with all the stores that an app may lean on.
type stored struct {
	*exporter
	db    *mariadb.Server
	redis *redisServer
}

// withStores starts a MariaDB and a Redis, and an exporter with a pool, sessions and tasks
// of an app in its configuration.
func withStores(t *testing.T) stored {
	t.Helper()
	s := stored{db: database(t), redis: startRedis(t, redisUserArgs()...)}
	s.exporter = watch(t, export{config: mysqlSection(t, "main", s.db) + redisSection(t, "cache", s.redis.url()) + joined(
		"apps:",
		fmt.Sprintf("  - name: shop\n    match: {listen: \"127.0.0.1:%d\"}", freePort(t)),
		"    pools: [{name: main, mysql: main, user: shop}]",
		"    sessions: [{redis: cache, prefix: \"session:\"}]",
		"    tasks: [{type: rq, redis: cache}, {type: celery, redis: cache}]",
	)})
	eventually(t, 20*time.Second, func() error { return s.up(t, 1) })
	return s
}

// up returns an error unless both servers are up, or both are down.
func (s *stored) up(t *testing.T, v float64) error {
	m := s.scrape(t)
	return all(m.want(v, "resp_up", "component=mysql:main"), m.want(v, "resp_up", "component=redis:cache"))
}

// held counts the exporter's connections on the server's side.
func (s *stored) held(t *testing.T) (mysql, redis int) {
	t.Helper()
	db, err := s.db.Root()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'resp'").Scan(&mysql); err != nil {
		t.Fatal(err)
	}
	return mysql, s.redis.ours()
}

// hastily scrapes n times as a Prometheus does that waits 2.25 s; what has
// nothing to do with the two servers is in each answer.
func (s *stored) hastily(t *testing.T, n int) {
	t.Helper()
	slowest := time.Duration(0)
	late := 0 // of what takes the servers' limits, which a busy machine makes longer
	repeat(t, n, 100*time.Millisecond, func() error {
		body, took := hasty(t, s.exporter)
		slowest = max(slowest, took)
		for _, line := range []string{
			`resp_up{component="mysql:main"} 0`, `resp_up{component="redis:cache"} 0`, "resp_host_memory_usage_ratio ", "resp_disk_usage_ratio{",
			`resp_scrape_collector_success{collector="process"} 1`, "resp_statsd_lines_total{", "resp_health_status{",
		} {
			switch {
			case strings.Contains(body, "\n"+line):
			case strings.HasPrefix(line, "resp_up{") && late < 1+n/10:
				late++
			default:
				return errors.New("no " + line)
			}
		}
		return nil
	})
	t.Logf("slowest of %d scrapes without either server: %s", n, slowest)
}

// TestBothStoresHang stops both servers at once: scrapes are on time with all other
// metrics, nothing leaks, and the metrics return when the servers continue.
func TestBothStoresHang(t *testing.T) {
	t.Parallel()
	s := withStores(t)
	before := s.kept(t)
	s.signal(t, syscall.SIGSTOP)
	s.hastily(t, 50)
	eventually(t, 10*time.Second, func() error { // a temporary increase ends
		return s.keptMore(t, before, map[string]float64{"goroutines": 6, "descriptors": 3})
	})
	s.signal(t, syscall.SIGCONT)
	eventually(t, 5*time.Second, func() error { return s.up(t, 1) })
	eventually(t, 5*time.Second, func() error {
		mysql, redis := s.held(t)
		if mysql != 1 || redis < 1 || redis > 2 {
			return fmt.Errorf("%d connections to MariaDB and %d to Redis", mysql, redis)
		}
		return nil
	})
	if n := strings.Count(s.Output(1<<20), "level=WARN"); n > 20 {
		t.Errorf("%d warnings for one fault:\n%s", n, s.Output(4000))
	}
	silent(t, s.exporter)
	keepsRedisSecrets(t, s.exporter)
}

// signal sends both servers a signal.
func (s *stored) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	for _, err := range []error{s.db.Signal(sig), s.redis.proc.Signal(sig)} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestBothStoresKilled kills both servers and starts them again.
func TestBothStoresKilled(t *testing.T) {
	t.Parallel()
	s := withStores(t)
	s.db.Kill()
	if err := s.redis.proc.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-s.redis.proc.Done()
	s.hastily(t, 30)
	if err := s.db.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.redis.start()
	eventually(t, 5*time.Second, func() error { return s.up(t, 1) })
}
