package app

import (
	"sync/atomic"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal"
	"github.com/resp-exporter/resp-exporter/internal/history"
	"github.com/resp-exporter/resp-exporter/internal/history/incidents"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/workerends"
)

// past is what the exporter remembers of the apps: samples of their requests, incidents,
// and last words of workers.
type past struct {
	samples *history.History
	records *incidents.Recorder
	healing atomic.Pointer[heal.Runner] // nil: not built yet
}

func newPast(a *parts, cfg *config.Config) *past {
	p := &past{}
	p.samples = history.New(history.Options{
		Settings: historySettings(cfg), Threads: a.sampler.Workers, ThreadsOf: a.sampler.Threads, StateDir: a.o.StateDir, Logger: a.o.Logger,
	})
	p.records = incidents.New(incidents.Options{Runs: p.runs, Words: p.samples.LastOf, StateDir: a.o.StateDir, Logger: a.o.Logger})
	return p
}

// historySettings returns how long and how large the configuration lets the history be.
func historySettings(cfg *config.Config) history.Settings {
	h := cfg.Diagnosis.History
	return history.Settings{Keep: time.Duration(h.Minutes) * time.Minute, MaxBytes: int(h.MaxBytes)}
}

// observe passes the state of one gather to the history and the incidents.
func (p *past) observe(now time.Time, s *model.State) {
	p.samples.Observe(now, s)
	p.records.Observe(now, s)
}

// workerEnded passes the end of a worker to the incidents.
func (p *past) workerEnded(e workerends.Ended) {
	p.records.WorkerEnded(incidents.Ended{App: e.App, PID: e.PID, At: e.At, Reason: string(e.Reason), Finished: e.Orderly, Booting: e.Booting, Requests: e.Last.Requests})
}

// workerEnded counts what a worker has said last before it ended, and passes its end to the
// incidents.
func (a *parts) workerEnded(e workerends.Ended) {
	a.requests.CountLast(e.App, e.PID, &e.Last)
	a.past.workerEnded(e)
}

// runs returns the runs of healing that the incidents mention; nil before healing is built.
func (p *past) runs() []incidents.Run {
	runner := p.healing.Load()
	if runner == nil {
		return nil
	}
	runs := runner.Snapshot().Runs
	out := make([]incidents.Run, 0, len(runs))
	for i := range runs {
		out = append(out, incidents.Run{ID: runs[i].ID, App: runs[i].Alert.Labels["app"], Began: runs[i].Created})
	}
	return out
}

// stats returns the numbers for the collector "history".
func (p *past) stats(stateDir string) collectors.HistoryStats {
	return collectors.HistoryStats{History: p.samples.Kept, Incidents: p.records.Totals, StateDir: stateDir}
}

// remembered implements [past.History].
type remembered struct {
	*history.History
	*incidents.Recorder
}
