package model

// Owner is whose a connection is. Empty: that is not known.
type Owner struct {
	App  string
	Slot string // of the worker; "": it is no worker's, or not known
	PID  int    // 0: not known, or several processes share it
}

// Connection is one connection to a MySQL server.
type Connection struct {
	Owner

	ID         uint64 // 0: not known
	User, Host string // as the server has them, cleaned and bounded
}

// PoolSource is from where a pool is seen.
type PoolSource string

// The sources of a pool.
const (
	PoolOutside PoolSource = "outside" // from the server and the kernel
	PoolInside  PoolSource = "inside"  // the app's workers report it
)

// Pool is the connections of one app to one database server.
type Pool struct {
	App, Name                          string
	Source                             PoolSource
	InUse, Idle, InTransaction, Leaked float64  // connections; each is counted once
	Capacity                           *float64 // connections
	Utilization                        *float64 // those that are not idle, of Capacity
	Leaks                              []Leak   // as the server has them; the longest asleep first, 20 at most
	Workers                            []PoolWorker

	// The app's workers report these.
	Waiting        *float64   // threads that wait for a connection
	OldestCheckout *float64   // seconds; nil: none is checked out, or not known
	Sites          []PoolSite // where leaked connections were checked out; the most first, 5 at most
}

// PoolSite is where in an app connections were checked out that are leaked.
type PoolSite struct {
	Route          string // of the request; "": none
	File, Function string
	Line           int
	Connections    float64
	Seconds        float64 // since the oldest of them was checked out
}

// Leak is one connection that has slept in a transaction for too long.
type Leak struct {
	Owner

	Server     string // the name of the MySQL server
	Connection uint64
	Seconds    float64 // asleep
}

// PoolWorker is how many connections of a pool one worker has that are leaked or not.
type PoolWorker struct {
	Slot                               string // "": of no worker, or not known
	InUse, Idle, InTransaction, Leaked float64
}

// WorkerConnections is how many connections a worker has to one component.
type WorkerConnections struct {
	App, Slot string
	Component string // "mysql:main", "redis:cache", or another known kind of server
	Count     float64
}

// LockWait is one connection that waits for a lock.
type LockWait struct {
	Server  string
	Waiter  Connection
	Blocker Connection // its ID is 0 where the server does not say who holds the lock
	State   string     // of the blocker: "running", "sleeping"; "": not known
	Seconds float64
}

// LockSuspect is the connection that is likely to hold the lock of a table for
// which others wait.
type LockSuspect struct {
	Connection

	Server string
	Did    string // to follow "it has": "slept", "had a transaction open"
	// Seconds is for how long it did.
	Seconds float64
}

// Query is one statement that runs on a MySQL server.
type Query struct {
	Connection

	Server    string
	Statement string // its keyword, such as "SELECT", or "statement"
	Seconds   float64
}

// Queue is one queue of background tasks of an app.
type Queue struct {
	App, Name                   string
	Length                      float64  // jobs that wait
	Oldest                      *float64 // seconds that the oldest of them has waited
	Running, Failed, Orphaned   *float64 // jobs
	Workers, WorkerHeartbeatAge *float64 // processes; seconds
}

// Sessions is the sessions that an app keeps in one Redis.
type Sessions struct {
	App, Redis    string
	Count         *float64 // nil: the first scan is under way
	WithoutExpiry *float64
	Bytes         *float64
	Coverage      float64 // of the server's keys that the scan under way has seen
	Age           float64 // seconds since the last full scan
}

// MySQLServer is one MySQL or MariaDB server of the configuration.
type MySQLServer struct {
	Name                        string
	Up                          bool
	Full                        bool     // it does not answer, for it has no connection left for anybody
	Ping                        *float64 // seconds
	Connections, MaxConnections *float64
	ThreadsRunning              *float64
	LongestQuery                *float64 // seconds, of the oldest statement of a client
	SharedQuery                 *float64 // seconds, of those that more than one request waits for
	AppQuery                    *float64 // seconds, of those that concern the apps
	OldestTransaction           *float64 // seconds
	LockWaits                   *float64
	Holders                     []Holder // who has most of its connections, where hardly any is left
}

// Holder is a user on a host that holds connections.
type Holder struct {
	User, Host  string
	App         string // whose pool has that user; "": not known
	Connections float64
	Asleep      float64
}

// RedisServer is one Redis server, or one cluster, of the configuration.
type RedisServer struct {
	Name                string
	Up                  bool
	Informed            bool   // it answered INFO
	Version, Mode, Role string // as INFO has them
	Stateful            bool   // it holds data that is not a cache
	Ping                *float64
	Memory, MaxMemory   *float64 // bytes; MaxMemory is nil where no limit is set
	Clients, Blocked    *float64
	HitRatio            *float64 // over 5 minutes
	Lookups             *float64 // in these 5 minutes
}
