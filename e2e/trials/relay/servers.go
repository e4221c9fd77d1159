package relay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

const (
	token    = "token-of-the-trial"
	password = "password-of-the-trial"
	// Rights are what docs/redis.md gives the user of the relay.
	Rights = "+time +set +get +del +expire +hlen +hget +hgetall +hmget +hset +hdel " +
		"+xadd +xlen +xdel +xack +xreadgroup +xgroup|create +watch +unwatch +multi +exec ~resp:heal:relay:*"
)

// served is a server with an HTTP address.
type served struct {
	*run.Proc

	base string
}

// servers are what stands between Prometheus and the exporters that alerts are about.
type servers struct {
	run.Group

	redis     *store
	managers  []served
	receivers []served
	token     string // file
	password  string // file
	dir       string
	exporter  string // program
}

// start starts the Redis, two exporters that receive, and the pair of Alertmanagers.
func (g *servers) start(ctx context.Context, dir string, o Options) error {
	g.dir, g.exporter = dir, o.Exporter
	g.token, g.password = filepath.Join(dir, "token"), filepath.Join(dir, "password")
	for file, text := range map[string]string{g.token: token, g.password: password} {
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			return err
		}
	}
	g.redis = &store{dir: dir, noAOF: o.NoAOF}
	if err := g.redis.start(ctx); err != nil {
		return err
	}
	for i := range 2 {
		x, err := g.export(ctx, fmt.Sprintf("receiver-%d", i), "")
		if err != nil {
			return err
		}
		g.receivers = append(g.receivers, x)
	}
	return g.startManagers(ctx)
}

// stop stops all.
func (g *servers) stop() {
	g.Stop()
	if g.redis != nil {
		g.redis.stop()
	}
}

// export starts the exporter of a host. more is the rest of its section healing.
func (g *servers) export(ctx context.Context, host, more string) (served, error) {
	port, err := run.FreePort(0)
	if err != nil {
		return served{}, err
	}
	config := fmt.Sprintf("statsd: {listen: []}\nredis: [{name: relay, url: %q, password_file: %s}]\n"+
		"healing:\n  mode: enforce\n  warmup: 0s\n  token_file: %s\n  identity: {label: instance, value: %q}\n  relay: {redis: relay}\n%s",
		g.redis.url(), g.password, g.token, host, more)
	file := filepath.Join(g.dir, host+".yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return served{}, err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	p, err := g.Start(ctx, run.Spec{Name: host, Path: g.exporter, Logs: g.dir, Args: []string{
		"--web.listen-address=" + address, "--config.file=" + file, "--state.dir=" + filepath.Join(g.dir, "state-"+host),
	}}, time.Minute, run.OK("http://"+address+"/-/ready"))
	return served{p, "http://" + address}, err
}

// startManagers starts two Alertmanagers that know each other, and waits until they do.
func (g *servers) startManagers(ctx context.Context) error {
	var webhooks strings.Builder
	for _, r := range g.receivers {
		fmt.Fprintf(&webhooks, "      - {url: %q, max_alerts: 100, http_config: {authorization: {credentials_file: %s}}}\n", r.base+"/api/v1/alerts", g.token)
	}
	file := filepath.Join(g.dir, "alertmanager.yml")
	if err := os.WriteFile(file, []byte(routes+webhooks.String()), 0o600); err != nil {
		return err
	}
	var gossip [2]string
	for i := range gossip {
		port, err := run.FreePort(0)
		if err != nil {
			return err
		}
		gossip[i] = fmt.Sprintf("127.0.0.1:%d", port)
	}
	for i := range gossip {
		port, err := run.FreePort(0)
		if err != nil {
			return err
		}
		address := fmt.Sprintf("127.0.0.1:%d", port)
		p, err := g.Start(ctx, run.Spec{Name: fmt.Sprintf("alertmanager-%d", i), Path: "prometheus-alertmanager", Logs: g.dir, Args: []string{
			"--config.file=" + file, "--storage.path=" + filepath.Join(g.dir, fmt.Sprintf("alertmanager-%d", i)), "--web.listen-address=" + address, "--log.level=warn",
			"--cluster.listen-address=" + gossip[i], "--cluster.advertise-address=" + gossip[i], "--cluster.peer=" + gossip[1-i], "--cluster.reconnect-interval=2s",
		}}, time.Minute, run.OK("http://"+address+"/-/ready"))
		if err != nil {
			return err
		}
		g.managers = append(g.managers, served{p, "http://" + address})
	}
	return until(ctx, 2*time.Minute, g.paired)
}

// routes are those of docs/fleets.md, without people.
const routes = `route:
  receiver: people
  group_by: [alertname, job, cause]
  routes:
    - matchers: ['alertname =~ "Resp.+"', 'component !~ "exporter|healing"']
      receiver: healers
      group_by: [alertname, job, instance, app]
      group_wait: 0s
      group_interval: 1m
      repeat_interval: 5m
      continue: true
    - receiver: people
receivers:
  - name: people
  - name: healers
    webhook_configs:
`

// paired returns an error until both Alertmanagers have a peer and have settled.
func (g *servers) paired(ctx context.Context) error {
	for _, m := range g.managers {
		var s struct {
			Cluster struct {
				Status string
				Peers  []struct{}
			}
		}
		if err := run.GetJSON(ctx, http.DefaultClient, m.base+"/api/v2/status", &s); err != nil {
			return err
		}
		if s.Cluster.Status != "ready" || len(s.Cluster.Peers) != len(g.managers) {
			return fmt.Errorf("%s is %s with %d members", m.Name, s.Cluster.Status, len(s.Cluster.Peers))
		}
	}
	return nil
}

// registered waits until so many exporters are registered.
func (g *servers) registered(ctx context.Context, n int) error {
	return until(ctx, 3*time.Minute, func(ctx context.Context) error {
		if got, err := g.redis.members(ctx); err != nil || got != n {
			return errors.Join(err, fmt.Errorf("%d of %d exporters are registered", got, n))
		}
		return nil
	})
}

// counters returns the counters of both receivers, added, by name and labels.
func (g *servers) counters(ctx context.Context) (map[string]float64, error) {
	out := make(map[string]float64)
	for _, r := range g.receivers {
		if err := addCounters(ctx, r.base, out); err != nil {
			return out, err
		}
	}
	return out, nil
}

// addCounters adds the exporter's metrics of healing and of its process to those in out.
func addCounters(ctx context.Context, base string, out map[string]float64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/metrics", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	in := bufio.NewScanner(resp.Body)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		at := strings.LastIndexByte(in.Text(), ' ')
		if at < 0 || !strings.HasPrefix(in.Text(), "resp_heal_") && !strings.HasPrefix(in.Text(), "process_") {
			continue
		}
		v, err := strconv.ParseFloat(in.Text()[at+1:], 64)
		if err != nil {
			return fmt.Errorf("%s: %w", base, err)
		}
		out[in.Text()[:at]] += v
	}
	return in.Err()
}

// until calls f until it returns nil, at most for a time.
func until(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := f(ctx)
		if err == nil {
			return nil
		}
		if !sleep(ctx, 200*time.Millisecond) {
			return err
		}
	}
}
