package collectors_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/cgroup"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/config/schema"
	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/pss"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
	"github.com/resp-exporter/resp-exporter/internal/workerends"
)

// fakeApps returns one snapshot.
type fakeApps struct {
	snap *discovery.Snapshot
	err  error
}

func (f fakeApps) Snapshot(context.Context) (*discovery.Snapshot, error) { return f.snap, f.err }

// fakeEnds are the ends of the workers of the app shop.
type fakeEnds struct{}

func (fakeEnds) Of(app string) (out []workerends.Count) {
	for i, r := range workerends.Reasons() {
		c := workerends.Count{Reason: r}
		if app == "shop" {
			c.Ends, c.InRequest = uint64(10-i), uint64(i)
		}
		out = append(out, c)
	}
	return out
}

func (fakeEnds) Observe(*discovery.Snapshot) {}

func (fakeEnds) Dropped() uint64 { return 2 }

func at(s int64) time.Time { return time.Unix(1_700_000_000+s, 0) }

// shop returns an app with a master and two workers, and a second app that is down.
func shop() *discovery.Snapshot {
	process := func(pid int, rss, pss, uss uint64) discovery.Process {
		return discovery.Process{PID: pid, RSS: rss, Memory: procfs.Memory{RSS: rss, PSS: pss, USS: uss, Swap: 4096}, Taken: at(-10)}
	}
	procs := []discovery.Process{process(100, 30e6, 12e6, 2e6), process(101, 50e6, 32e6, 22e6), process(102, 60e6, 42e6, 32e6)}
	return &discovery.Snapshot{Time: at(0), Apps: []discovery.App{
		{Name: "down", Configured: true, Restarts: 3, User: 1.5, System: 0.5, FDs: -1},
		{
			Name: "shop", Up: true, Server: cmdline.Gunicorn, Class: "sync", PID: 100, Start: at(-3600), Restarts: 2,
			User: 10, System: 2, CPU: 0.5, CPUKnown: true, Threads: 3, Processes: procs, FDs: 12, MaxFDs: 1024, NetNS: 1,
			Listeners: []sockdiag.Listener{
				{Network: sockdiag.TCP, Addr: netip.MustParseAddrPort("0.0.0.0:8000"), Inode: 1, Queue: 3, Limit: 2048, HasQueue: true, HasLimit: true},
				{Network: sockdiag.TCP6, Addr: netip.MustParseAddrPort("[::]:8000"), Inode: 2, Queue: 1, Limit: 2048, HasQueue: true, HasLimit: true},
				{Network: sockdiag.Unix, Path: "/run/shop.sock", Inode: 3, Queue: 0, Limit: 128, HasQueue: true, HasLimit: true},
			},
			Workers: []discovery.Worker{
				{Process: procs[1], Slot: 0, Start: at(-3500), State: discovery.Idle, For: 2 * time.Second, Heartbeat: 2 * time.Second, HasBeat: true, CPUTime: 6, Threads: 1, FDs: 12, MaxFDs: 1024},
				{Process: procs[2], Slot: 1, Start: at(-60), State: discovery.Stuck, For: 12 * time.Second, Detail: "waits for a response", Heartbeat: 12 * time.Second, HasBeat: true, CPUTime: 4, CPU: 0.2, CPUKnown: true, Threads: 1, FDs: -1},
			},
		},
	}}
}

// groups returns limits with the app in a cgroup of 64 MB and two cores.
func groups(t *testing.T) *collectors.Limits {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"proc/100/cgroup":        "0::/shop\n",
		"proc/self/mountinfo":    "30 23 0:26 / " + dir + "/sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
		"memory.max":             "128000000\n",
		"memory.current":         "90000000\n",
		"memory.stat":            "anon 1\ninactive_file 26000000\n",
		"memory.events":          "oom 1\noom_kill 4\n",
		"cpu.max":                "50000 100000\n",
		"cpu.stat":               "usage_usec 1\nnr_periods 9\nnr_throttled 5\nthrottled_usec 2500000\n",
		"cgroup.controllers":     "cpu memory\n",
		"../cgroup.controllers":  "cpu memory\n",
		"../cgroup.subtree_ctrl": "cpu memory\n",
	} {
		file := filepath.Join(dir, "sys/fs/cgroup/shop", name)
		if strings.HasPrefix(name, "proc/") {
			file = filepath.Join(dir, name)
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return collectors.NewLimits(&cgroup.FS{ProcRoot: filepath.Join(dir, "proc"), SysRoot: filepath.Join(dir, "sys")}, slog.New(slog.DiscardHandler))
}

func total() (uint64, error) { return 1e9, nil }

func TestProcess(t *testing.T) {
	golden(t, collectors.NewProcess(fakeApps{snap: shop()}, groups(t), 4))
}

func TestMemory(t *testing.T) {
	m := collectors.NewMemory(fakeApps{snap: shop()}, groups(t), total)
	collectors.SetNow(m, at(0))
	golden(t, m)
}

func TestWorkers(t *testing.T) { golden(t, collectors.NewWorkers(fakeApps{snap: shop()}, fakeEnds{})) }

func TestListener(t *testing.T) {
	dir := t.TempDir()
	netstat := filepath.Join(dir, "100/net/netstat")
	if err := os.MkdirAll(filepath.Dir(netstat), 0o755); err != nil {
		t.Fatal(err)
	}
	content := "TcpExt: SyncookiesSent ListenOverflows ListenDrops Other\nTcpExt: 0 17 19 5\nIpExt: InNoRoutes\nIpExt: 0\n"
	if err := os.WriteFile(netstat, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	golden(t, collectors.NewListener(fakeApps{snap: shop()}, dir))
}

func TestConfig(t *testing.T) {
	cfg := config.Default()
	thresholds := collectors.NewThresholds(&cfg, at(0))
	c := collectors.NewConfig(thresholds, fakeApps{snap: shop()}, nil)
	golden(t, c)
	thresholds.Fail()
	goldenAs(t, c, "config_reload_failed")
	cfg = config.Default()
	cfg.Thresholds.CPU.Warning = 0.5
	off := schema.Number{Given: true, Off: true}
	cfg.Apps = []config.App{{
		Name: "shop", Mute: []string{"tasks"},
		Thresholds: config.Overrides{"memory": {Warning: off, Critical: off}, "error_rate": {Critical: off}, "response_time": {Warning: schema.Number{Given: true, Value: 9}}},
	}}
	thresholds.Apply(&cfg, at(60))
	goldenAs(t, c, "config_reloaded")
	// The configured apps have their thresholds also without processes.
	goldenAs(t, collectors.NewConfig(thresholds, fakeApps{err: errors.New("no /proc")}, nil), "config_no_processes")
}

// TestConfigKept: without another configuration or app the metrics are those of the scrape
// before; a new app has its thresholds at once.
func TestConfigKept(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	thresholds := collectors.NewThresholds(&cfg, at(0))
	apps := &fakeApps{snap: shop()}
	c := collectors.NewConfig(thresholds, apps, nil)
	first, err1 := c.Collect(t.Context())
	thresholds.Fail()
	second, err2 := c.Collect(t.Context())
	if err1 != nil || err2 != nil || len(first.Metrics) != len(second.Metrics) || first.Metrics[0] != second.Metrics[0] {
		t.Errorf("%d and %d metrics (%v, %v), want the same", len(first.Metrics), len(second.Metrics), err1, err2)
	}
	if n := len(first.Metrics); first.Metrics[n-2] == second.Metrics[n-2] {
		t.Error("the result of the reload is that of before")
	}
	apps.snap = shop()
	more := apps.snap.Apps[0]
	more.Name = "zoo"
	apps.snap.Apps = append(apps.snap.Apps, more)
	third, err := c.Collect(t.Context())
	if err != nil || len(third.State.AppThresholds) <= len(first.State.AppThresholds) {
		t.Errorf("%d thresholds with one app more, %d before: %v", len(third.State.AppThresholds), len(first.State.AppThresholds), err)
	}
}

func TestStatsD(t *testing.T) {
	list := []collectors.Socket{{Listen: "udp://127.0.0.1:9125"}, {Listen: "unixgram:///run/x.sock", Err: syscall.EADDRINUSE}}
	golden(t, collectors.NewSockets(func() []collectors.Socket { return list }))
}

// Values that may not be read are absent, and the reason has the missing right.
func TestReasons(t *testing.T) {
	blind := shop()
	a := &blind.Apps[1]
	a.FDs, a.Listeners = -1, nil
	a.FDsErr, a.StateErr, a.MemoryErr, a.QueueErr = syscall.EACCES, syscall.EPERM, syscall.EACCES, syscall.EPERM
	for i := range a.Processes {
		a.Processes[i].Taken = time.Time{}
	}
	for i := range a.Workers {
		a.Workers[i].State, a.Workers[i].HasBeat = discovery.StateUnknown, false
	}
	cut := shop()
	cut.Apps[1].FDsCut = true
	large := shop()
	large.Apps[1].MemoryErr = pss.ErrTooLarge
	foreign := shop()
	for i := range foreign.Apps[1].Listeners {
		foreign.Apps[1].Listeners[i].HasLimit = false
	}
	silent := shop()
	silent.Apps[1].Configured, silent.Apps[1].Listeners = true, nil
	sockets := func(err error) collectors.Collector {
		return collectors.NewSockets(func() []collectors.Socket { return []collectors.Socket{{Listen: "x", Err: err}} })
	}
	for name, c := range map[string]struct {
		c    collectors.Collector
		want collectors.Reason
		lack []string
	}{
		"descriptors":     {collectors.NewProcess(fakeApps{snap: blind}, groups(t), 4), collectors.Permission, []string{"resp_app_open_fds"}},
		"cut descriptors": {collectors.NewProcess(fakeApps{snap: cut}, groups(t), 4), collectors.Failed, nil},
		"memory":          {collectors.NewMemory(fakeApps{snap: blind}, groups(t), total), collectors.Permission, []string{"resp_app_memory_bytes"}},
		"large memory":    {collectors.NewMemory(fakeApps{snap: large}, groups(t), total), collectors.Unsupported, nil},
		"states":          {collectors.NewWorkers(fakeApps{snap: blind}, fakeEnds{}), collectors.Permission, []string{"resp_app_workers", "resp_worker_heartbeat_age_seconds"}},
		"listeners":       {collectors.NewListener(fakeApps{snap: blind}, t.TempDir()), collectors.Permission, []string{"resp_listener_queue_length", "resp_listen_drops_total"}},
		"foreign queues":  {collectors.NewListener(fakeApps{snap: foreign}, t.TempDir()), collectors.Permission, []string{"resp_listener_queue_limit"}},
		"no listener":     {collectors.NewListener(fakeApps{snap: silent}, t.TempDir()), collectors.NotFound, nil},
		"address taken":   {sockets(syscall.EADDRINUSE), collectors.InUse, nil},
		"address refused": {sockets(os.ErrPermission), collectors.Permission, nil},
		"no folder":       {sockets(os.ErrNotExist), collectors.NotFound, nil},
		"other":           {sockets(errors.New("strange")), collectors.Failed, nil},
		"nothing":         {collectors.NewSockets(func() []collectors.Socket { return nil }), collectors.Disabled, nil},
		"no /proc":        {collectors.NewWorkers(fakeApps{err: errors.New("list processes: no /proc")}, fakeEnds{}), collectors.Failed, nil},
		"late":            {collectors.NewWorkers(fakeApps{err: context.DeadlineExceeded}, fakeEnds{}), collectors.Timeout, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := c.c.Collect(t.Context())
			if got, detail := collectors.ReasonOf(err); got != c.want || detail == "" {
				t.Errorf("reason %q (%q), want %q", got, detail, c.want)
			}
			for _, r := range facts(s) {
				for _, lack := range c.lack {
					if r.Name == lack {
						t.Errorf("%v must be absent", r)
					}
				}
			}
		})
	}
}

// Resident sizes are not summed, because forks share their pages.
func TestResidentIsNoSum(t *testing.T) {
	s, err := collectors.NewMemory(fakeApps{snap: shop()}, groups(t), total).Collect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range facts(s) {
		if r.Name == "resp_app_memory_bytes" && r.Labels[1] == "rss" && r.Value != 56e6+28e6 {
			t.Errorf("rss %v, want the private pages (56 MB) and one copy of the shared (28 MB)", r.Value)
		}
	}
}

// The wait of a worker and its peer are in the state and not in a series.
func TestWorkerWaits(t *testing.T) {
	snap := shop()
	snap.Apps[1].Workers[1].Wait = &discovery.Wait{On: conns.OnUpstream, Peer: "10.0.0.9:5432 (postgresql)"}
	s, err := collectors.NewWorkers(fakeApps{snap: snap}, fakeEnds{}).Collect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	compareReadings(t, "waits", named(s, "page.worker_wait"), map[string]float64{"shop 1 upstream 10.0.0.9:5432 (postgresql)": 12})
	for _, m := range s.Metrics {
		if strings.Contains(m.Desc().String(), "wait") {
			t.Errorf("%s is a series", m.Desc())
		}
	}
}
