// Package model holds the typed state that the parts of the exporter hand each
// other: what one gather read. It is data: it reads nothing and judges nothing.
// Times are in seconds, sizes in bytes, shares are ratios from 0 to 1. A nil
// number is not known.
package model

import (
	"math"

	"github.com/resp-exporter/resp-exporter/internal/reason"
)

// State is what one gather read. Each slice is written by one collector.
type State struct {
	Apps    []App        // process
	Memory  []AppMemory  // memory
	Workers []AppWorkers // workers

	MemoryLeaks []MemoryLeak // leak
	LeakViews   []LeakView   // leak, by app, the worst first
	Heaps       []HeapCensus // leak, one an app at most

	Listeners []AppListeners // listener
	Requests  []AppRequests  // requests
	Waits     []AppWaits     // waits

	Pools        []Pool              // pool
	Connections  []WorkerConnections // pool
	LockWaits    []LockWait          // pool, by server, the longest first
	LockSuspects []LockSuspect       // pool, at most one a server
	Queries      []Query             // pool, by server, the longest first

	StoreConnections []StoreConnection // pool, redis: by server
	StoreWaits       []StoreWait       // pool, redis; mysql for full servers: by server, the longest first
	Chains           []Chain           // diagnosis, the one with most victims first
	Bottlenecks      []Bottleneck      // diagnosis/cause: one of each judged app

	Queues   []Queue    // tasks
	Sessions []Sessions // sessions
	Reported []Reported // requests

	MySQL []MySQLServer // mysql
	Redis []RedisServer // redis

	Host      Host       // host
	Disks     []Disk     // disk
	Pressures []Pressure // pressure

	Thresholds    []Threshold    // config
	AppThresholds []AppThreshold // config, by app

	Collectors []Collector // all that are on or were switched off
	Lacks      []Lack      // what they cannot read
}

// Append adds what another read gave.
func (s *State) Append(o *State) {
	s.Apps = append(s.Apps, o.Apps...)
	s.Memory = append(s.Memory, o.Memory...)
	s.Workers = append(s.Workers, o.Workers...)
	s.MemoryLeaks = append(s.MemoryLeaks, o.MemoryLeaks...)
	s.LeakViews = append(s.LeakViews, o.LeakViews...)
	s.Heaps = append(s.Heaps, o.Heaps...)
	s.Listeners = append(s.Listeners, o.Listeners...)
	s.Requests = append(s.Requests, o.Requests...)
	s.Waits = append(s.Waits, o.Waits...)
	s.Pools = append(s.Pools, o.Pools...)
	s.Connections = append(s.Connections, o.Connections...)
	s.LockWaits = append(s.LockWaits, o.LockWaits...)
	s.LockSuspects = append(s.LockSuspects, o.LockSuspects...)
	s.Queries = append(s.Queries, o.Queries...)
	s.StoreConnections = append(s.StoreConnections, o.StoreConnections...)
	s.StoreWaits = append(s.StoreWaits, o.StoreWaits...)
	s.Chains = append(s.Chains, o.Chains...)
	s.Bottlenecks = append(s.Bottlenecks, o.Bottlenecks...)
	s.Queues = append(s.Queues, o.Queues...)
	s.Sessions = append(s.Sessions, o.Sessions...)
	s.Reported = append(s.Reported, o.Reported...)
	s.MySQL = append(s.MySQL, o.MySQL...)
	s.Redis = append(s.Redis, o.Redis...)
	s.Host.append(o.Host)
	s.Disks = append(s.Disks, o.Disks...)
	s.Pressures = append(s.Pressures, o.Pressures...)
	s.Thresholds = append(s.Thresholds, o.Thresholds...)
	s.AppThresholds = append(s.AppThresholds, o.AppThresholds...)
	s.Collectors = append(s.Collectors, o.Collectors...)
	s.Lacks = append(s.Lacks, o.Lacks...)
}

// Known returns v as a known number, or nil where it is not finite: JSON has no
// word for the others.
func Known(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// Threshold is the pair of limits of one resource.
type Threshold struct {
	Resource          string
	Warning, Critical float64
}

// AppThreshold is the pair of limits of one resource in force for an app. A nil one is
// off or muted; one without both has no entry.
type AppThreshold struct {
	App, Resource     string
	Warning, Critical *float64
}

// Reason is why a collector cannot read something: one of a fixed set, the values
// of the label reason of resp_collector_available.
type Reason = reason.Reason

// Collector is how the last read of one collector ended.
type Collector struct {
	Name   string
	Reason Reason // "ok", "disabled", or the first reason of its lacks
}

// Lack is one thing that a collector cannot read.
type Lack struct {
	Collector string
	Of        string // what lacks it, as resp_up names it: "app:shop", "mysql:main"; "": the collector as a whole
	Reason    Reason
	Detail    string // a sentence without a full stop, e.g. "wait states of shop need CAP_SYS_PTRACE or the app's uid"
	Short     string // Detail without the name of Of, where that is a server; else ""
	// Remedy is what would give it, ready to be pasted: a statement, a rule, a
	// setting. Several ways are one a line; "" is none. It is for `doctor` alone
	// and is not published.
	Remedy string
	// Optional is for an extra that a sound server does not have unless it is
	// set up for it. The collector counts as available without it.
	Optional bool
}
