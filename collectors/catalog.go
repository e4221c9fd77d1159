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
	Ends       WorkerEnds
	Leaks      LeakVerdicts
	Heaps      HeapCensuses
	Limits     *Limits
	Requests   *Requests
	Thresholds *Thresholds
	Health     func() health.Evaluation // the last one
	Bottleneck func() Bottlenecks       // the last ones
	History    HistoryStats
	Heal       func() HealStats
	Sockets    func() []Socket
	Activity   *Activity // of the MySQL servers
	Redis      func() []RedisTarget
	Tasks      func() []TaskTarget
	Waits      WaitTotals
	Sessions   func() []SessionTarget
	Pools      PoolOptions
	ProcRoot   string
	RootFS     string
	Cores      int
	Total      func() (uint64, error) // the host's memory in bytes
}

// Catalog returns the entries of all collectors, sorted by name. To add one, add a file
// and a line here.
func Catalog() []Entry {
	return []Entry{
		{"bottleneck", "the cause that holds up each app, if there is one", func(d Deps) Collector { return NewBottleneck(d.Bottleneck) }},
		{"config", "current thresholds, and the result of the last reload", func(d Deps) Collector { return NewConfig(d.Thresholds, d.Apps, d.Requests) }},
		{"disk", "space used on the host's file systems", func(d Deps) Collector { return NewDisk(d.ProcRoot, d.RootFS) }},
		{"heal", "received alerts and the healing actions for them", func(d Deps) Collector { return NewHeal(d.Heal) }},
		{"health", "health levels of apps, host and stores", func(d Deps) Collector { return NewHealth(d.Health) }},
		{"history", "incidents of the apps, and what is kept of their requests", func(d Deps) Collector { return NewHistory(d.History) }},
		{"host", "the host's memory and CPU", func(d Deps) Collector { return NewHost(d.ProcRoot) }},
		{"leak", "workers that leak memory", func(d Deps) Collector { return NewLeak(d.Apps, d.Leaks, d.Heaps, d.Limits, d.Total) }},
		{"listener", "accept queues of the apps", func(d Deps) Collector { return NewListener(d.Apps, d.ProcRoot) }},
		{"memory", "memory of apps and workers", func(d Deps) Collector { return NewMemory(d.Apps, d.Limits, d.Total) }},
		{"mysql", "MySQL and MariaDB servers", func(d Deps) Collector { return NewMySQL(d.Activity) }},
		{"pool", "database connections of the apps, by pool and by worker", func(d Deps) Collector { return NewPool(d.Pools) }},
		{"pressure", "the host's pressure stall information", func(d Deps) Collector { return NewPressure(d.ProcRoot) }},
		{"process", "processes of the apps", func(d Deps) Collector { return NewProcess(d.Apps, d.Limits, d.Cores) }},
		{"redis", "Redis servers", func(d Deps) Collector {
			return NewRedis(d.Redis, RedisOptions{d.Apps, d.Pools.Connections, processReader(d.ProcRoot)})
		}},
		{"requests", "requests, as reported by the apps' servers", func(d Deps) Collector { return d.Requests }},
		{"sessions", "sessions of the apps in Redis", func(d Deps) Collector { return NewSessions(d.Sessions) }},
		{"statsd", "StatsD sockets that receive request reports", func(d Deps) Collector { return NewSockets(d.Sockets) }},
		{"tasks", "background tasks of the apps in RQ and Celery", func(d Deps) Collector { return NewTasks(d.Tasks, d.Apps) }},
		{"waits", "what the apps' workers spend their time on", func(d Deps) Collector { return NewWaits(d.Apps, d.Waits, d.Requests) }},
		{"workers", "states of the apps' workers, and how they ended", func(d Deps) Collector { return NewWorkers(d.Apps, d.Ends) }},
	}
}
