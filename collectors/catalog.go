package collectors

import "github.com/resp-exporter/resp-exporter/internal/health"

// Entry is one collector in the catalog: its name, help and constructor.
type Entry struct {
	Name string
	Help string // for the flag
	New  func(Deps) Collector
}

// Deps are the dependencies of all collectors. Each constructor gets those that it
// needs.
type Deps struct {
	Apps       Apps
	Limits     *Limits
	Requests   *Requests
	Thresholds *Thresholds
	Health     func() health.Evaluation // the last one
	Heal       func() HealStats
	Sockets    func() []Socket
	Activity   *Activity // of the MySQL servers
	Redis      func() []RedisTarget
	Tasks      func() []TaskTarget
	Sessions   func() []SessionTarget
	Pools      PoolOptions
	ProcRoot   string
	RootFS     string
	Cores      int
	Total      func() (uint64, error) // the host's memory in bytes
}

// Catalog returns every collector, sorted by name. To add one, add a file and a line
// here.
func Catalog() []Entry {
	return []Entry{
		{"config", "thresholds in force, and how the last reload went", func(d Deps) Collector { return d.Thresholds }},
		{"disk", "how full the host's file systems are", func(d Deps) Collector { return NewDisk(d.ProcRoot, d.RootFS) }},
		{"heal", "alerts received, and what was done about them", func(d Deps) Collector { return NewHeal(d.Heal) }},
		{"health", "how well apps, host and stores are", func(d Deps) Collector { return NewHealth(d.Health) }},
		{"host", "the host's memory and CPU", func(d Deps) Collector { return NewHost(d.ProcRoot) }},
		{"listener", "accept queues of the apps", func(d Deps) Collector { return NewListener(d.Apps, d.ProcRoot) }},
		{"memory", "memory of apps and workers", func(d Deps) Collector { return NewMemory(d.Apps, d.Limits, d.Total) }},
		{"mysql", "MySQL and MariaDB servers", func(d Deps) Collector { return NewMySQL(d.Activity) }},
		{"pool", "connections of the apps to their databases, by pool and by worker", func(d Deps) Collector { return NewPool(d.Pools) }},
		{"pressure", "the host's pressure stall information", func(d Deps) Collector { return NewPressure(d.ProcRoot) }},
		{"process", "processes of the apps", func(d Deps) Collector { return NewProcess(d.Apps, d.Limits, d.Cores) }},
		{"redis", "Redis servers", func(d Deps) Collector { return NewRedis(d.Redis) }},
		{"requests", "requests as the apps' servers report them", func(d Deps) Collector { return d.Requests }},
		{"sessions", "sessions that the apps keep in Redis", func(d Deps) Collector { return NewSessions(d.Sessions) }},
		{"statsd", "the sockets that requests are reported to", func(d Deps) Collector { return NewSockets(d.Sockets) }},
		{"tasks", "background tasks of the apps, in RQ and Celery", func(d Deps) Collector { return NewTasks(d.Tasks, d.Apps) }},
		{"workers", "what the apps' workers do", func(d Deps) Collector { return NewWorkers(d.Apps) }},
	}
}
