// Package config is the configuration: plain data, its defaults, its checks. Package
// schema below it reads the file.
package config

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config/schema"
)

// Config is one whole, checked configuration. It is never changed after Load.
type Config struct {
	// Of health, leaks and the slow samplers; 1s to 1h.
	MonitoringInterval time.Duration `yaml:"monitoring_interval" want:"a duration from 1s to 1h" type:"a duration such as 30s"`
	Thresholds         Thresholds    `yaml:"thresholds"`
	// A request that takes longer counts as slow; above 0.
	SlowRequest time.Duration `yaml:"slow_request" want:"a duration above 0, such as 5s" type:"a duration such as 5s"`
	// At most 50; none: apps are discovered.
	Apps []App `yaml:"apps" want:"a list of apps"`
	// At most 20.
	MySQL []MySQL `yaml:"mysql" want:"a list of servers"`
	// At most 20.
	Redis     []Redis   `yaml:"redis" want:"a list of servers"`
	StatsD    StatsD    `yaml:"statsd"`
	Diagnosis Diagnosis `yaml:"diagnosis"`
	Healing   Healing   `yaml:"healing"`
}

// Limit holds the values from which a resource is in warning and in critical state.
type Limit struct {
	Warning  float64 `yaml:"warning"`
	Critical float64 `yaml:"critical"`
}

// Thresholds are the limits, one for each resource. The tags name the unit, the range
// and, of a resource of an app, the component that it belongs to.
type Thresholds struct {
	Memory         Limit `yaml:"memory" want:"a number from 0 to 1" max:"1" component:"memory"`
	CPU            Limit `yaml:"cpu" want:"a number from 0 to 1" max:"1" component:"cpu"`
	Disk           Limit `yaml:"disk" want:"a number from 0 to 1" max:"1" component:"disk"`
	ConnectionPool Limit `yaml:"connection_pool" want:"a number from 0 to 1" max:"1" component:"pool"`
	RequestQueue   Limit `yaml:"request_queue" want:"a number of connections, 0 or more" component:"request_queue"`
	ResponseTime   Limit `yaml:"response_time" want:"a number of seconds, 0 or more" component:"requests"`
	ErrorRate      Limit `yaml:"error_rate" want:"a number from 0 to 1" max:"1" component:"requests"`
	QueryTime      Limit `yaml:"query_time" want:"a number of seconds, 0 or more"`
	CacheHitRate   Limit `yaml:"cache_hit_rate" want:"a number from 0 to 1" max:"1" falls:"true"`
	TaskAge        Limit `yaml:"task_age" want:"a number of seconds, 0 or more" component:"tasks"`
}

// App is one named application.
type App struct {
	Name  string `yaml:"name" want:"1 to 64 letters, digits or . _ : @ - /"`
	Match Match  `yaml:"match" want:"at least one of cmdline, pid_file, listen, systemd_unit, cgroup, user"`
	// At most 10.
	Pools []Pool `yaml:"pools,omitempty" want:"a list of pools"`
	// At most 10.
	Sessions []Sessions `yaml:"sessions,omitempty" want:"a list of kinds of sessions"`
	// At most 10.
	Tasks []Tasks `yaml:"tasks,omitempty" want:"a list of kinds of tasks"`
	// Its own limits, which beat the section thresholds and the environment.
	Thresholds Overrides `yaml:"thresholds,omitempty" want:"a mapping of thresholds" item:"off, or a mapping of warning, critical"`
	// The components that are not judged.
	Mute []string `yaml:"mute,omitempty" want:"a list of components" item:"one of workers, request_queue, requests, memory, cpu, disk, pool, tasks, sessions"`
}

// Match selects the process trees of an app: all given conditions must hold,
// and at least one is given.
type Match struct {
	// Regexp over the command line, arguments joined by a space.
	Cmdline string `yaml:"cmdline,omitempty" want:"a regular expression in the syntax of RE2"`
	// Path of a file that holds the master's pid.
	PIDFile string `yaml:"pid_file,omitempty" want:"an absolute path such as /run/shop.pid"`
	// ":8000", "127.0.0.1:8000", "unix:/run/x.sock"; Load writes it as [address.Listen.String] does.
	Listen string `yaml:"listen,omitempty" want:"an address such as \":8000\", \"127.0.0.1:8000\", \"[::1]:8000\" or \"unix:/run/app.sock\""`
	// "shop.service"; ".service" may be left out.
	SystemdUnit string `yaml:"systemd_unit,omitempty" want:"the name of a unit, such as shop.service"`
	// Path of a control group, or the start of one.
	Cgroup string `yaml:"cgroup,omitempty" want:"a path below the root of the control groups, such as /system.slice/shop.service"`
	// Name or number of the owner.
	User string `yaml:"user,omitempty" want:"the name or the number of a user" form:"user"`
}

// Diagnosis is the section of what is sampled of the workers.
type Diagnosis struct {
	// Samples of each worker a second, at most; the rate falls by itself where they
	// would use more than a hundredth of a core. 0.5 to 20.
	SampleRate float64 `yaml:"sample_rate" want:"a number from 0.5 to 20"`
	// Whether the stacks of Python threads that have a request are read.
	Stacks bool `yaml:"stacks" want:"true or false"`
	// Whether the paths of requests are published, beside their routes.
	ShowPaths bool `yaml:"show_paths" want:"true or false"`
	// When the objects of a worker's interpreter are counted: [CensusOff], or
	// [CensusOnSuspicion] of a memory leak.
	HeapCensus string `yaml:"heap_census" want:"off or on_suspicion"`
	// What is kept of the samples.
	History History `yaml:"history"`
}

// When the objects of an interpreter are counted.
const (
	CensusOff         = "off"
	CensusOnSuspicion = "on_suspicion"
)

// History is the section of what is kept of the samples.
type History struct {
	// For how many minutes; 0: none are kept, else 5 to 1440.
	Minutes int `yaml:"minutes" want:"0 for none, or a whole number from 5 to 1440"`
	// How many bytes they may take in memory, and as many in the state directory; 1MiB to
	// 256MiB.
	MaxBytes schema.Size `yaml:"max_bytes" want:"a size from 1MiB to 256MiB, such as 16MiB"`
}

// StatsD is the section of the statsd listener.
type StatsD struct {
	// "udp://host:port", "unixgram:///path"; at most 8; none: off.
	Listen []string `yaml:"listen" want:"a list of addresses, or [] for none" item:"an address such as \"udp://127.0.0.1:9125\" or \"unixgram:///run/resp-exporter/statsd.sock\"" form:"replace"`
	// Distinct routes an app may have; the rest count as "other"; 1 to 10000.
	MaxRoutes int `yaml:"max_routes" want:"a whole number from 1 to 10000"`
	// Trust names who may report for every app beside root and the exporter's own
	// User: "uid:1001", or a network or address such as "10.0.0.0/8"; at most 32.
	Trust []string `yaml:"trust,omitempty" want:"a list of users and networks" item:"a user id such as \"uid:1001\", or an address or network such as \"10.0.0.0/8\""`
}
