// Package config is the leaf of the tree: plain data, its defaults, its checks.
package config

import "time"

// Config is one whole, checked configuration. It is never changed after Load.
type Config struct {
	MonitoringInterval time.Duration `yaml:"monitoring_interval"` // of health, leaks and the slow samplers; 1s to 1h
	Thresholds         Thresholds    `yaml:"thresholds"`
	SlowRequest        time.Duration `yaml:"slow_request"` // a request that takes longer counts as slow; above 0
	Apps               []App         `yaml:"apps"`         // at most 50; none: apps are discovered
	MySQL              []MySQL       `yaml:"mysql"`        // at most 20
	Redis              []Redis       `yaml:"redis"`        // at most 20
	StatsD             StatsD        `yaml:"statsd"`
	Healing            Healing       `yaml:"healing"`
}

// Limit is where one value turns from well to warned to critical.
type Limit struct {
	Warning  float64 `yaml:"warning"`
	Critical float64 `yaml:"critical"`
}

// Thresholds are the limits, one a resource. Ratios are 0 to 1, times are
// seconds, the request queue is connections.
type Thresholds struct {
	Memory         Limit `yaml:"memory"`
	CPU            Limit `yaml:"cpu"`
	Disk           Limit `yaml:"disk"`
	ConnectionPool Limit `yaml:"connection_pool"`
	RequestQueue   Limit `yaml:"request_queue"`
	ResponseTime   Limit `yaml:"response_time"`
	ErrorRate      Limit `yaml:"error_rate"`
	QueryTime      Limit `yaml:"query_time"`
	CacheHitRate   Limit `yaml:"cache_hit_rate"` // the one that warns when it falls below
	TaskAge        Limit `yaml:"task_age"`
}

// App is one named application.
type App struct {
	Name     string     `yaml:"name"` // 1 to 64 letters, digits or . _ : @ - /
	Match    Match      `yaml:"match"`
	Pools    []Pool     `yaml:"pools,omitempty"`    // at most 10
	Sessions []Sessions `yaml:"sessions,omitempty"` // at most 10
	Tasks    []Tasks    `yaml:"tasks,omitempty"`    // at most 10
}

// Match says which process trees are the app's; all that is given must hold,
// and at least one is given.
type Match struct {
	Cmdline     string `yaml:"cmdline,omitempty"`      // regexp over the command line, arguments joined by a space
	PIDFile     string `yaml:"pid_file,omitempty"`     // path of a file that holds the master's pid
	Listen      string `yaml:"listen,omitempty"`       // ":8000", "127.0.0.1:8000", "unix:/run/x.sock"; Load writes it as [Listen.String] does
	SystemdUnit string `yaml:"systemd_unit,omitempty"` // "shop.service"; ".service" may be left out
	Cgroup      string `yaml:"cgroup,omitempty"`       // path of a control group, or the start of one
	User        string `yaml:"user,omitempty"`         // name or number of the owner
}

// StatsD is the section of the statsd listener.
type StatsD struct {
	Listen    []string `yaml:"listen"`     // "udp://host:port", "unixgram:///path"; at most 8; none: off
	MaxRoutes int      `yaml:"max_routes"` // distinct routes an app may have; the rest count as "other"; 1 to 10000
	// Trust names who may report for every app beside root and the exporter's own
	// user: "uid:1001", or a network or address such as "10.0.0.0/8"; at most 32.
	Trust []string `yaml:"trust,omitempty"`
}
