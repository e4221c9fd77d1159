package collectors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resp-exporter/resp-exporter/internal/cgroup"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// Apps is the part of the process watcher that the collectors use.
type Apps interface {
	Snapshot(ctx context.Context) (*discovery.Snapshot, error)
}

var (
	upFamily = gauge("up", "Whether the component responds or, for an app, runs (1).", "component")

	appInfoFamily   = gauge("app_info", "Server and worker class of an app; worker_class is empty if the command line does not name it. The value is 1.", "app", "server", "worker_class")
	appStartFamily  = gauge("app_start_time_seconds", "Start time of the app's oldest master, in Unix time.", "app")
	appCPUFamily    = counter("app_cpu_seconds_total", "CPU time of all processes of the app, including exited processes up to their last read.", "app", "mode")
	appCPUUseFamily = gauge("app_cpu_usage_ratio", "Used share (0 to 1) of the app's CPU over the last minute; 1 is the quota of its control group, or all cores.", "app")
	throttledFamily = counter("app_cpu_throttled_seconds_total", "Time for which the app's control group was throttled by its CPU quota.", "app")
	oomFamily       = counter("app_oom_kills_total", "Processes of the app's control group that the kernel's OOM killer has killed.", "app")
	threadsFamily   = gauge("app_threads", "Threads of all processes of the app.", "app")
	openFDsFamily   = gauge("app_open_fds", "Open file descriptors of the app's process that is closest to its limit.", "app")
	maxFDsFamily    = gauge("app_max_fds", "Limit of open file descriptors of the same process.", "app")
	restartsFamily  = counter("worker_restarts_total", "Workers that replaced another worker since the exporter first saw the app.", "app")

	workerInfoFamily  = gauge("worker_info", "Process of a worker slot; the value is 1.", "app", "worker", "pid")
	workerCPUFamily   = counter("worker_cpu_seconds_total", "CPU time of all processes that have used this worker slot.", "app", "worker")
	workerStartFamily = gauge("worker_start_time_seconds", "Start time of the worker's process, in Unix time.", "app", "worker")
	workerFDsFamily   = gauge("worker_open_fds", "Open file descriptors of the worker.", "app", "worker")

	settingsRefused = counter("settings_refused_total", "Reads of a server's settings file, such as gunicorn.conf.py, that were refused: another user could write to the file or rename a directory of its path, or it is too large or no regular file. The app is named otherwise.")
)

// Process is the collector "process": whether each app runs, and the CPU time, threads,
// descriptors and restarts of its processes.
type Process struct {
	apps   Apps
	limits *Limits
	cores  float64
}

// NewProcess returns the collector "process". cores is how many CPUs the host has.
func NewProcess(apps Apps, limits *Limits, cores int) *Process {
	return &Process{apps: apps, limits: limits, cores: float64(cores)}
}

// Name implements [Collector].
func (*Process) Name() string { return "process" }

// Descs implements [Collector].
func (*Process) Descs() []*prometheus.Desc {
	return descs(upFamily, appInfoFamily, appStartFamily, appCPUFamily, appCPUUseFamily, throttledFamily, oomFamily, threadsFamily,
		openFDsFamily, maxFDsFamily, restartsFamily, workerInfoFamily, workerCPUFamily, workerStartFamily, workerFDsFamily, settingsRefused, seriesDropped)
}

// Collect implements [Collector]. An app that is down has only resp_up, its restarts and
// its CPU time. The error has the lacks of all apps, and of users whose apps are not
// watched.
func (c *Process) Collect(ctx context.Context) (Sample, error) {
	snap, err := c.apps.Snapshot(ctx)
	if err != nil {
		return Sample{}, err
	}
	var s Sample
	var lacks []error
	workers := 0
	for i := range snap.Apps {
		a := &snap.Apps[i]
		workers += a.Dropped
		c.app(&s, a, snap.Time)
		if a.FDsErr != nil {
			lacks = append(lacks, lackOfApp(a.Name, Permission, "the descriptors of "+a.Name+", and therefore its listeners and workers, need its uid or CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH", RemedyProcesses))
		}
		if a.FDsCut {
			lacks = append(lacks, lackOfApp(a.Name, Failed, "a process of "+a.Name+" has more file descriptors than the exporter reads: a listener and its workers may be missing", ""))
		}
		lacks = append(lacks, trustLacks(a)...)
	}
	for _, l := range snap.LeftOut {
		lacks = append(lacks, &Unavailable{
			Reason: Busy, Of: fmt.Sprintf("uid:%d", l.UID), Detail: fmt.Sprintf("%d apps of user id %d are not watched: at most %d apps are discovered, and a part of them is reserved for other users", l.Apps, l.UID, discovery.MaxApps),
			Remedy: "in the configuration, name the apps to watch: apps: [{name: shop, match: {listen: \":8000\", user: shop}}]",
		})
	}
	s.add(seriesDropped, float64(snap.Dropped), "app")
	s.add(seriesDropped, float64(workers), "worker")
	s.add(seriesDropped, float64(snap.DroppedFDs), "descriptor")
	s.add(seriesDropped, float64(snap.DroppedProcesses), "process")
	s.add(settingsRefused, float64(snap.RefusedSettings))
	return s, errors.Join(lacks...)
}

// trustLacks returns the lacks of an app by a pid file that is not trusted, servers of
// other users, and processes over the limit of one user; nil if there is none.
func trustLacks(a *discovery.App) (lacks []error) {
	if a.MatchErr != nil {
		lacks = append(lacks, lackOfApp(a.Name, Permission, "the pid file in the match of "+a.Name+" is not trusted: "+a.MatchErr.Error(),
			"make root or the user of the app the owner of the pid file, in a directory that nobody else can write to"))
	}
	if len(a.Strangers) > 0 {
		lacks = append(lacks, lackOfApp(a.Name, InUse, fmt.Sprintf("servers of other users also match %s and are ignored: user ids %s", a.Name, numbers(a.Strangers)),
			"in the configuration, name the user of "+a.Name+": match: {…, user: NAME}"))
	}
	if a.Cut > 0 {
		lacks = append(lacks, lackOfApp(a.Name, Busy, fmt.Sprintf("%d processes or worker states of %s were not read: the limit of work per user and scrape is reached", a.Cut, a.Name), ""))
	}
	return lacks
}

// numbers returns numbers as text in their order, e.g. "33, 1000".
func numbers(list []uint32) string {
	text := make([]string, len(list))
	for i, n := range list {
		text[i] = strconv.FormatUint(uint64(n), 10)
	}
	return strings.Join(text, ", ")
}

// app adds the series and the state of one app.
func (c *Process) app(s *Sample, a *discovery.App, now time.Time) {
	out := model.App{Name: a.Name, Up: a.Up, Restarts: a.Restarts}
	s.add(upFamily, flag(a.Up), "app:"+a.Name)
	s.add(restartsFamily, a.Restarts, a.Name)
	s.add(appCPUFamily, a.User, a.Name, "user")
	s.add(appCPUFamily, a.System, a.Name, "system")
	if a.Up {
		c.running(s, &out, a, now)
	}
	s.State.Apps = append(s.State.Apps, out)
}

// running adds the series and the state that only an app that runs has.
func (c *Process) running(s *Sample, out *model.App, a *discovery.App, now time.Time) {
	out.Server, out.Class = string(a.Server), cleaned(a.Class)
	s.add(appInfoFamily, 1, a.Name, out.Server, out.Class)
	s.set(&out.Started, appStartFamily, seconds(a.Start), a.Name)
	s.set(&out.Threads, threadsFamily, float64(a.Threads), a.Name)
	if a.FDs >= 0 {
		s.set(&out.OpenFDs, openFDsFamily, float64(a.FDs), a.Name)
		if a.MaxFDs > 0 {
			s.set(&out.MaxFDs, maxFDsFamily, float64(a.MaxFDs), a.Name)
		}
	}
	st := c.limits.statsOf(a, now)
	if st.ThrottledSeconds != nil {
		s.add(throttledFamily, *st.ThrottledSeconds, a.Name)
	}
	if st.OOMKills != nil {
		s.add(oomFamily, float64(*st.OOMKills), a.Name)
	}
	if a.CPUKnown {
		allowed := c.cores
		if st.CPULimit != nil && *st.CPULimit > 0 {
			allowed = min(allowed, *st.CPULimit)
		}
		s.set(&out.CPU, appCPUUseFamily, a.CPU/allowed, a.Name)
	}
	out.Workers = make([]model.WorkerProcess, len(a.Workers))
	for i := range a.Workers {
		out.Workers[i] = processOf(s, a.Name, &a.Workers[i])
	}
}

// processOf adds the series of the process in a worker's slot, and returns the state of
// that; its CPU is nil if it is not known yet.
func processOf(s *Sample, app string, w *discovery.Worker) model.WorkerProcess {
	out := model.WorkerProcess{Slot: strconv.Itoa(w.Slot), Started: seconds(w.Start)}
	s.add(workerInfoFamily, 1, app, out.Slot, strconv.Itoa(w.PID))
	s.add(workerCPUFamily, w.CPUTime, app, out.Slot)
	s.add(workerStartFamily, out.Started, app, out.Slot)
	if w.FDs >= 0 {
		s.add(workerFDsFamily, float64(w.FDs), app, out.Slot)
	}
	if w.CPUKnown {
		out.CPU = model.Known(w.CPU)
	}
	return out
}

// Limits reads the control groups of the apps. The collectors of one scrape share one
// read.
type Limits struct {
	fs  *cgroup.FS
	log *slog.Logger

	mu     sync.Mutex
	groups map[int]*group
}

// group is the control group of an app's oldest master process, and its last read.
type group struct {
	start time.Time
	group cgroup.Group
	err   error
	read  time.Time // when stats was read, by the snapshot's clock
	stats cgroup.Stats
}

// maxGroups is the maximum number of cached groups; they are cheap to look up again.
const maxGroups = 256

// NewLimits returns a reader of the limits of apps, by their control groups under fs.
func NewLimits(fs *cgroup.FS, log *slog.Logger) *Limits {
	return &Limits{fs: fs, log: logs.Or(log), groups: make(map[int]*group)}
}

// statsOf returns the limits and the usage of an app's control group, read once for each
// time now. What cannot be read is nil in them, which is no lack: the limits of the host
// apply then. It looks up the group of a process once, as processes seldom move; after a
// failure they are zero as long as the process runs.
func (l *Limits) statsOf(a *discovery.App, now time.Time) cgroup.Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.groups[a.PID]
	if g == nil || !g.start.Equal(a.Start) {
		if len(l.groups) >= maxGroups {
			clear(l.groups)
		}
		g = &group{start: a.Start}
		if g.group, g.err = l.fs.Of(a.PID); g.err != nil {
			l.log.Debug("Control group of an app not readable", "app", a.Name, "err", g.err)
		}
		l.groups[a.PID] = g
	}
	if g.err == nil && !g.read.Equal(now) { // what could not be read is absent
		g.stats, _ = l.fs.Read(g.group)
		g.read = now
	}
	return g.stats
}
