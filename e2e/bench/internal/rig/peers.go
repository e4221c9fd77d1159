package rig

import (
	"context"
	"fmt"
	"strings"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// HowPeers builds the peers, HowOurs this exporter.
const (
	HowPeers = "make peers, which builds it into build/peers"
	HowOurs  = "make build"
)

// Mapping makes of gunicorn's lines what resp-exporter makes of them without
// one: a histogram and two counters.
const Mapping = `defaults: {observer_type: histogram}
mappings:
  - {match: gunicorn.request.duration, name: gunicorn_request_duration_seconds}
  - {match: gunicorn.requests, name: gunicorn_requests_total}
  - {match: "gunicorn.request.status.*", name: gunicorn_responses_total, labels: {code: "$1"}}
`

// GunicornLines returns what gunicorn sends for one request.
func GunicornLines() []string {
	return []string{"gunicorn.request.duration:12.3|ms", "gunicorn.requests:1|c|@1.0", "gunicorn.request.status.200:1|c"}
}

// Groups are four named groups for process-exporter, and StoreGroups four of a host with
// servers. The extra processes of a busy host are in none of them.
const (
	Groups = `process_names:
  - {name: shop, cmdline: ["gunicorn.*shop"]}
  - {name: resp-exporter, comm: [resp-exporter]}
  - {name: node_exporter, comm: [node_exporter]}
  - {name: process-exporter, comm: [process-exporte]}
`
	StoreGroups = `process_names:
  - {name: shop, cmdline: ["gunicorn.*shop"]}
  - {name: mariadbd, comm: [mariadbd]}
  - {name: redis-server, comm: [redis-server]}
  - {name: resp-exporter, comm: [resp-exporter]}
`
)

// Ours starts resp-exporter with nothing set but its addresses. statsd is what
// it listens at, as in its configuration.
func (r *Rig) Ours(ctx context.Context, spec run.Spec, statsd ...string) (Target, error) {
	return r.Configured(ctx, spec, `statsd: {listen: ["`+strings.Join(statsd, `", "`)+"\"]}\n")
}

// Configured starts resp-exporter with a configuration.
func (r *Rig) Configured(ctx context.Context, spec run.Spec, config string) (Target, error) {
	file, err := r.Write("resp-exporter.yml", config)
	if err != nil {
		return Target{}, err
	}
	spec.Name = "resp-exporter"
	return r.Exporter(ctx, spec, func(address string) []string {
		return []string{"--web.listen-address=" + address, "--config.file=" + file}
	})
}

// Node starts node_exporter with few collectors: those that cover resp-exporter's host
// metrics, and those that are usually on beside it.
func (r *Rig) Node(ctx context.Context, path string) (Target, error) {
	collectors := [...]string{
		"cpu", "meminfo", "loadavg", "filesystem", "diskstats", "netdev",
		"stat", "vmstat", "sockstat", "netstat", "pressure", "filefd",
	}
	return r.Exporter(ctx, run.Spec{Name: "node_exporter", Path: path}, func(address string) []string {
		args := []string{"--web.listen-address=" + address, "--collector.disable-defaults"}
		for _, c := range collectors {
			args = append(args, "--collector."+c)
		}
		return args
	})
}

// Process starts process-exporter without its dearest parts, for some groups.
func (r *Rig) Process(ctx context.Context, path, groups string) (Target, error) {
	file, err := r.Write("process-exporter.yml", groups)
	if err != nil {
		return Target{}, err
	}
	return r.Exporter(ctx, run.Spec{Name: "process-exporter", Path: path}, func(address string) []string {
		return []string{"-web.listen-address=" + address, "-config.path=" + file, "-threads=false", "-gather-smaps=false"}
	})
}

// Statsd starts statsd_exporter, which makes of gunicorn's lines what resp-exporter makes
// of them and listens at the given UDP address.
func (r *Rig) Statsd(ctx context.Context, path, udp string) (Target, error) {
	file, err := r.Write("mapping.yml", Mapping)
	if err != nil {
		return Target{}, err
	}
	return r.Exporter(ctx, run.Spec{Name: "statsd_exporter", Path: path}, func(address string) []string {
		return []string{"--web.listen-address=" + address, "--statsd.listen-udp=" + udp, "--statsd.listen-tcp=", "--statsd.mapping-config=" + file}
	})
}

// Mysqld starts mysqld_exporter with the server's status and its process list only.
func (r *Rig) Mysqld(ctx context.Context, path string, s *Stores) (Target, error) {
	file, err := s.ClientFile(r)
	if err != nil {
		return Target{}, err
	}
	return r.Exporter(ctx, run.Spec{Name: "mysqld_exporter", Path: path}, func(address string) []string {
		args := []string{"--web.listen-address=" + address, "--config.my-cnf=" + file, "--collect.info_schema.processlist"}
		for _, c := range [...]string{"global_variables", "slave_status", "info_schema.innodb_cmp", "info_schema.innodb_cmpmem", "info_schema.query_response_time"} {
			args = append(args, "--no-collect."+c)
		}
		return args
	})
}

// Redis starts redis_exporter with its defaults.
func (r *Rig) Redis(ctx context.Context, path string, s *Stores) (Target, error) {
	return r.Exporter(ctx, run.Spec{Name: "redis_exporter", Path: path}, func(address string) []string {
		return []string{"--web.listen-address=" + address, fmt.Sprintf("--redis.addr=redis://127.0.0.1:%d", s.Port)}
	})
}

// Shop starts gunicorn with four sync workers of the shop in dir, which sends
// StatsD to the given address, and returns its base URL.
func (r *Rig) Shop(ctx context.Context, dir, statsd string) (string, error) {
	port, err := run.FreePort(0)
	if err != nil {
		return "", err
	}
	bind := fmt.Sprintf("127.0.0.1:%d", port)
	_, err = r.Start(ctx, run.Spec{
		Name: "shop", Path: "gunicorn", Dir: dir,
		Args: []string{"--workers", "4", "--bind", bind, "--statsd-host", statsd, "--name", "shop", "shop:app"},
		Env:  []string{"PYTHONDONTWRITEBYTECODE=1"},
	}, "http://"+bind+"/healthz")
	return "http://" + bind, err
}
