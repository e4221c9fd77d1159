package web

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/health/measures"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/web/parts"
	"github.com/resp-exporter/resp-exporter/internal/web/waitstatus"
)

// The JSON of /api/v1/status. Seconds, bytes, connections; a number that is
// not known is null.
type (
	statusJSON struct {
		Version     string               `json:"version"`
		Host        hostJSON             `json:"host"`
		Started     time.Time            `json:"started"`
		LastCheck   *time.Time           `json:"last_check"`
		ThreadsAt   *time.Time           `json:"threads_at"`      // when the threads of the workers were sampled
		Health      *health.Status       `json:"health"`          // of host and stores; null before the first look
		Todo        []string             `json:"recommendations"` // of all, root causes first, as on the page
		Apps        []appJSON            `json:"apps"`
		LockWaits   []parts.LockWaitJSON `json:"lock_waits"` // at most 20 a server
		Chains      []waitstatus.Chain   `json:"chains"`     // who waits for whom, the one with most victims first
		Unavailable []unseenJSON         `json:"unavailable"`
		Notes       []noteJSON           `json:"notes"` // optional lacks: the collector is available nevertheless
	}
	hostJSON struct {
		Name               string         `json:"name"`
		MemoryUsagePercent *float64       `json:"memory_usage_percent"`
		CPUUsagePercent    *float64       `json:"cpu_usage_percent"`
		Disks              []diskJSON     `json:"disks"`
		Pressure           []pressureJSON `json:"pressure"`
	}
	diskJSON struct {
		Mountpoint   string   `json:"mountpoint"`
		UsagePercent *float64 `json:"usage_percent"`
	}
	pressureJSON struct {
		Resource       string   `json:"resource"`
		Kind           string   `json:"kind"`
		WaitingPercent *float64 `json:"waiting_percent"`
	}
	appJSON struct {
		Name        string                      `json:"name"`
		Server      *string                     `json:"server"`
		WorkerClass *string                     `json:"worker_class"`
		Up          *bool                       `json:"up"`
		Resources   measures.ResourceMetrics    `json:"resources"`
		Performance measures.PerformanceMetrics `json:"performance"`
		Health      *health.Status              `json:"health"`     // null where nothing is known of it
		Bottleneck  *waitstatus.Bottleneck      `json:"bottleneck"` // what holds it up; null: it is not judged
		Capacity    capacityJSON                `json:"capacity"`
		Workers     []workerJSON                `json:"workers"`
		Listeners   []listenerJSON              `json:"listeners"`
		Pools       []parts.PoolJSON            `json:"pools"`
		Tasks       []parts.QueueJSON           `json:"tasks"`
		Sessions    []parts.SessionsJSON        `json:"sessions"`
		Reported    *parts.ReportedJSON         `json:"reported"` // null: its workers report none of it
	}
	capacityJSON struct {
		Utilization *float64 `json:"utilization_ratio"` // of the request threads, over the last minute
		Saturation  *float64 `json:"saturation_requests_per_second"`
		QueueWait   *float64 `json:"queue_wait_seconds"` // of a new connection
	}
	workerJSON struct {
		Slot         *int     `json:"slot"`
		PID          *int     `json:"pid"`
		State        *string  `json:"state"`
		Detail       *string  `json:"detail"`
		Seconds      *float64 `json:"seconds"` // in this state
		MemoryBytes  *float64 `json:"memory_bytes"`
		CPU          *float64 `json:"cpu"` // cores
		AgeSeconds   *float64 `json:"age_seconds"`
		HeartbeatAge *float64 `json:"heartbeat_age_seconds"`

		Connections map[string]*float64 `json:"connections"` // to other services, by name; empty: none, or not known
		Threads     []waitstatus.Thread `json:"threads"`     // request threads, at most 64; empty: not sampled
		Leak        *parts.LeakJSON     `json:"leak"`        // null: its memory is not judged
	}
	listenerJSON struct {
		Listener string   `json:"listener"`
		Length   *float64 `json:"length"`
		Limit    *float64 `json:"limit"`
	}
	unseenJSON struct {
		Collector string `json:"collector"`
		Reason    string `json:"reason"`
		Detail    string `json:"detail"`
	}
	noteJSON struct {
		Collector string `json:"collector"`
		Of        string `json:"of"` // as the label component of resp_up; "": all of the collector
		Reason    string `json:"reason"`
		Detail    string `json:"detail"`
	}
)

// status returns the status as the API has it; before the first gather without health,
// advice and times.
func (w *Web) status(s pageState) statusJSON {
	out := statusJSON{
		Version: w.opts.Version, Started: w.opts.Started.UTC(), Todo: []string{},
		Apps: make([]appJSON, 0, len(s.Apps)), LockWaits: parts.LockWaitsStatus(s.state.LockWaits), Chains: waitstatus.Chains(s.state.Chains), Unavailable: make([]unseenJSON, 0, len(s.Unseen)), Notes: notesOf(s.state),
		Host: hostStatus(w.opts.Host, s.state),
	}
	if !s.At.IsZero() {
		out.Todo = append(out.Todo, s.health.Recommendations()...)
		at := s.At.UTC()
		out.LastCheck = &at
		threads := s.ThreadsAt.UTC()
		out.ThreadsAt = &threads
		out.Health = w.reported(&s.health.Host, "", s.Apps)
	}
	for i := range s.Apps {
		a := appStatus(&s, &s.Apps[i])
		a.Health = w.reported(a.Health, s.Apps[i].Name, s.Apps)
		out.Apps = append(out.Apps, a)
	}
	for _, u := range s.Unseen {
		out.Unavailable = append(out.Unavailable, unseenJSON(u))
	}
	return out
}

// notesOf returns the lacks that are optional, of all collectors; never nil.
func notesOf(s *model.State) []noteJSON {
	out := []noteJSON{}
	for i := range s.Lacks {
		if l := &s.Lacks[i]; l.Optional {
			out = append(out, noteJSON{l.Collector, l.Of, string(l.Reason), l.Detail})
		}
	}
	return out
}

// hostStatus returns the host as the API has it: shares in percent, null where they are
// not known.
func hostStatus(name string, s *model.State) hostJSON {
	out := hostJSON{
		Name: name, MemoryUsagePercent: percent(s.Host.Memory), CPUUsagePercent: percent(s.Host.CPU),
		Disks: make([]diskJSON, 0, len(s.Disks)), Pressure: make([]pressureJSON, 0, len(s.Pressures)),
	}
	for _, d := range disksOf(s) {
		out.Disks = append(out.Disks, diskJSON{d.Mountpoint, percent(&d.Usage)})
	}
	for _, p := range pressuresOf(s) {
		out.Pressure = append(out.Pressure, pressureJSON{p.Resource, p.Kind, percent(&p.Ratio)})
	}
	return out
}

// appStatus returns one app as the API has it; what is not known of it is null.
func appStatus(s *pageState, a *app) appJSON {
	at := s.At.UTC()
	out := appJSON{
		Name: a.Name, Server: waitstatus.Known(a.Server), WorkerClass: waitstatus.Known(a.Class),
		Resources:   measures.Resources(s.state, a.Name, at),
		Performance: measures.Performance(s.state, a.Name, at),
		Health:      s.health.Of(a.Name),
		Bottleneck:  waitstatus.BottleneckOf(s.state, a.Name),
		Workers:     make([]workerJSON, 0, len(a.Workers)), Listeners: make([]listenerJSON, 0, len(a.Listeners)),
		Pools: parts.PoolsStatus(a.Pools), Tasks: parts.QueuesStatus(a.Queues), Sessions: parts.SessionsStatus(a.Sessions), Reported: parts.ReportedStatus(s.state, a.Name),
	}
	if a.Known {
		out.Up = &a.Up
	}
	if u := measures.Waits(s.state, a.Name); u != nil {
		out.Capacity = capacityJSON{u.Utilization, u.Saturation, u.QueueWait}
	}
	for i := range a.Workers {
		w := &a.Workers[i]
		held := make(map[string]*float64, len(w.Connections))
		for _, x := range w.Connections {
			held[x.Component] = x.N
		}
		out.Workers = append(out.Workers, workerJSON{
			Connections: held, Threads: waitstatus.Threads(s.state, s.ThreadsAt, w.Threads), Leak: parts.LeakStatus(s.state, a.Name, w.Slot),
			Slot: parts.Integer(w.Slot), PID: waitstatus.Known(w.PID), State: waitstatus.Known(w.State), Detail: waitstatus.Known(w.Detail), Seconds: w.Seconds,
			MemoryBytes: w.memory(), CPU: w.CPU, AgeSeconds: ageAt(s.At, w.Started), HeartbeatAge: w.Heartbeat,
		})
	}
	for _, l := range a.Listeners {
		out.Listeners = append(out.Listeners, listenerJSON{l.Name, l.Length, l.Limit})
	}
	return out
}

// ageAt returns the seconds from the Unix time started to at; nil if either is not known.
// It is at least 0, because the two come from different clocks.
func ageAt(at time.Time, started *float64) *float64 {
	if started == nil || at.IsZero() {
		return nil
	}
	v := max(0, float64(at.UnixMilli())/1000-*started)
	return &v
}

// percent returns a ratio in percent, nil for nil.
func percent(ratio *float64) *float64 {
	if ratio == nil {
		return nil
	}
	v := *ratio * 100
	return &v
}
