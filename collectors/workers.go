package collectors

import (
	"context"
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

var (
	workersFamily   = gauge("app_workers", "Workers by current state: idle has no request, busy has one, stuck has had one for longer than the critical response time, booting has not served a request yet.", "app", "state")
	heartbeatFamily = gauge("worker_heartbeat_age_seconds", "Time since a gunicorn worker last updated its heartbeat file. A sync worker does not update it during a request, and when idle only every half timeout.", "app", "worker")
)

// Workers is the collector "workers": the state of each worker.
type Workers struct {
	apps Apps
	ends WorkerEnds
}

// NewWorkers returns the collector "workers".
func NewWorkers(apps Apps, ends WorkerEnds) *Workers { return &Workers{apps: apps, ends: ends} }

// Name implements [Collector].
func (*Workers) Name() string { return "workers" }

// Descs implements [Collector].
func (*Workers) Descs() []*prometheus.Desc {
	return descs(workersFamily, heartbeatFamily, workerEndsFamily, cutOffFamily, seriesDropped)
}

// Collect implements [Collector]. An app that is down has only the ends of its workers;
// one of which the state of a worker is not known has no counts by state. The error has a
// lack for each app whose workers' states may not be read.
func (c *Workers) Collect(ctx context.Context) (Sample, error) {
	snap, err := c.apps.Snapshot(ctx)
	if err != nil {
		return Sample{}, err
	}
	c.ends.Observe(snap)
	var s Sample
	var lacks []error
	for i := range snap.Apps {
		a := &snap.Apps[i]
		c.endsOf(&s, a.Name)
		if !a.Up {
			continue
		}
		workerStates(&s, a)
		if a.StateErr != nil {
			lacks = append(lacks, lackOfApp(a.Name, Permission, "what the workers of "+a.Name+" do needs CAP_SYS_PTRACE, or its uid where the kernel's ptrace_scope is 0", RemedyProcesses))
		}
	}
	s.add(seriesDropped, float64(c.ends.Dropped()), "worker_end")
	return s, errors.Join(lacks...)
}

// workerStates adds the series and the state of one app's workers: in which state each
// is, and what it waits for.
func workerStates(s *Sample, a *discovery.App) {
	count := map[discovery.State]int{discovery.Idle: 0, discovery.Busy: 0, discovery.Stuck: 0, discovery.Booting: 0}
	out := model.AppWorkers{App: a.Name, Unready: float64(a.Unready), Workers: make([]model.Worker, len(a.Workers))}
	for i := range a.Workers {
		w := &a.Workers[i]
		count[w.State]++
		if w.Spare {
			out.Spare++
		}
		x := model.Worker{Slot: strconv.Itoa(w.Slot), PID: w.PID, State: string(w.State), Detail: w.Detail, Seconds: w.For.Seconds()}
		if w.HasBeat {
			s.set(&x.Heartbeat, heartbeatFamily, w.Heartbeat.Seconds(), a.Name, x.Slot)
		}
		if w.Wait != nil {
			x.Wait = &model.Wait{On: w.Wait.On, Peer: w.Wait.Peer}
		}
		x.Threads = w.RequestThreads
		out.Workers[i] = x
	}
	for state, n := range a.Arrived {
		count[state] += n
	}
	if count[discovery.StateUnknown] == 0 {
		out.Counts = &model.WorkerCounts{
			Busy: float64(count[discovery.Busy]), Idle: float64(count[discovery.Idle]), Stuck: float64(count[discovery.Stuck]), Booting: float64(count[discovery.Booting]),
		}
		for _, st := range []discovery.State{discovery.Busy, discovery.Idle, discovery.Stuck, discovery.Booting} {
			s.add(workersFamily, float64(count[st]), a.Name, string(st))
		}
	}
	s.State.Workers = append(s.State.Workers, out)
}
