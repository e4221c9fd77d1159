// Package config is the leaf of the tree: plain data, its defaults, its checks.
package config

import "time"

// Config is one whole, checked configuration. It is never changed after Load.
type Config struct {
	MonitoringInterval time.Duration `yaml:"monitoring_interval"`
	Thresholds         Thresholds    `yaml:"thresholds"`
	SlowRequest        time.Duration `yaml:"slow_request"`
	Apps               []App         `yaml:"apps"`
	StatsD             StatsD        `yaml:"statsd"`
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
	CacheHitRate   Limit `yaml:"cache_hit_rate"`
	TaskAge        Limit `yaml:"task_age"`
}

// App is one named application.
type App struct {
	Name  string `yaml:"name"`
	Match Match  `yaml:"match"`
}

// Match says which process trees are the app's; all that is given must hold.
type Match struct {
	Cmdline     string `yaml:"cmdline"`      // regexp over the command line, arguments joined by a space
	PIDFile     string `yaml:"pid_file"`     // path of a file that holds the master's pid
	Listen      string `yaml:"listen"`       // ":8000", "127.0.0.1:8000", "unix:/run/x.sock"
	SystemdUnit string `yaml:"systemd_unit"` // "shop.service"
	Cgroup      string `yaml:"cgroup"`       // path of a control group, or the start of one
	User        string `yaml:"user"`         // name or number of the owner
}

// StatsD is the section of the statsd listener.
type StatsD struct {
	Listen    []string `yaml:"listen"`     // "udp://host:port", "unixgram:///path"
	MaxRoutes int      `yaml:"max_routes"` // distinct routes an app may have; the rest count as "other"
}
