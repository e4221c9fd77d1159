package rig

import (
	"context"
	"fmt"
	"strings"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// Commands that install the peers, in the versions that were measured.
const (
	HowNode    = "go install github.com/prometheus/node_exporter@v1.12.1"
	HowProcess = "go install github.com/ncabatoff/process-exporter/cmd/process-exporter@v0.8.7"
	HowStatsd  = "go install github.com/prometheus/statsd_exporter@v0.31.0"
	HowOurs    = "make build"
)

// groups are four named groups for process-exporter. The extra processes of a
// busy host are in none of them.
const groups = `process_names:
  - {name: shop, cmdline: ["gunicorn.*shop"]}
  - {name: resp-exporter, comm: [resp-exporter]}
  - {name: node_exporter, comm: [node_exporter]}
  - {name: process-exporter, comm: [process-exporte]}
`

// Ours starts resp-exporter with nothing set but its addresses. statsd is what
// it listens at, as in its configuration.
func (r *Rig) Ours(ctx context.Context, spec run.Spec, statsd ...string) (Target, error) {
	file, err := r.Write("resp-exporter.yml", `statsd: {listen: ["`+strings.Join(statsd, `", "`)+"\"]}\n")
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

// Process starts process-exporter without its dearest parts, for four groups.
func (r *Rig) Process(ctx context.Context, path string) (Target, error) {
	file, err := r.Write("process-exporter.yml", groups)
	if err != nil {
		return Target{}, err
	}
	return r.Exporter(ctx, run.Spec{Name: "process-exporter", Path: path}, func(address string) []string {
		return []string{"-web.listen-address=" + address, "-config.path=" + file, "-threads=false", "-gather-smaps=false"}
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
