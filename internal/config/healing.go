package config

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config/appactions"
	"github.com/resp-exporter/resp-exporter/internal/config/fleet"
	"github.com/resp-exporter/resp-exporter/internal/config/hostactions"
)

// The values of [Healing.Mode].
const (
	HealOff     = "off"     // alerts are taken and nothing is planned
	HealDryRun  = "dry_run" // plans are made and written down, nothing is done
	HealEnforce = "enforce" // plans are carried out
)

// Healing is the section of the webhook and the clean-up actions.
type Healing struct {
	Mode string `yaml:"mode" want:"off, dry_run or enforce"`
	// Absolute path; what a caller must present as a bearer token.
	TokenFile    string       `yaml:"token_file,omitempty" want:"an absolute path such as /etc/resp-exporter/webhook-token"`
	Identity     Identity     `yaml:"identity"`
	Coordination Coordination `yaml:"coordination"`
	Relay        Relay        `yaml:"relay"`
	Control      Control      `yaml:"control"`
	// Runs that may wait; 1 to 1000.
	QueueSize int     `yaml:"queue_size" want:"a whole number from 1 to 1000"`
	Budgets   Budgets `yaml:"budgets"`
	Breaker   Breaker `yaml:"breaker"`
	// After the start nothing is done for that long.
	Warmup time.Duration `yaml:"warmup" want:"a duration from 0s to 1h"`
	// At most 50.
	Rules []HealingRule `yaml:"rules,omitempty" want:"a list of rules"`
}

// Identity is the label that an alert must carry for this exporter to act on it.
type Identity = fleet.Identity

// Coordination is where leases and the fleet's budget are kept.
type Coordination = fleet.Coordination

// Relay is where alerts about other hosts are handed on.
type Relay = fleet.Relay

// Control is where apps on other hosts are asked what those of this host are asked.
type Control = fleet.Control

// Budgets bound what is done, whatever the alerts ask for.
type Budgets struct {
	// In Per; 1 to 1000.
	MaxRuns int           `yaml:"max_runs" want:"a whole number from 1 to 1000"`
	Per     time.Duration `yaml:"per" want:"a duration from 1s to 24h"`
	// 1 to 10.
	MaxConcurrent int `yaml:"max_concurrent" want:"a whole number from 1 to 10"`
	// Of the targets of one action that may be under repair at once; above 0, at most 1.
	FleetMaxFraction float64 `yaml:"fleet_max_fraction" want:"a number above 0, at most 1"`
	// Targets that must stay without repair.
	FleetMinHealthy int `yaml:"fleet_min_healthy" want:"a whole number from 0 to 1000"`
	// After the fleet was refused, nothing begins for that long on any exporter.
	StormExit time.Duration `yaml:"storm_exit" want:"a duration from 0s to 24h"`
}

// Breaker stops an action that keeps failing.
type Breaker struct {
	// Within Window; 1 to 100.
	Failures int           `yaml:"failures" want:"a whole number from 1 to 100"`
	Window   time.Duration `yaml:"window" want:"a duration from 1s to 24h"`
	// How long it stays open.
	Hold time.Duration `yaml:"hold" want:"a duration from 1s to 24h"`
}

// HealingRule says which alerts start which actions.
type HealingRule struct {
	Name string `yaml:"name" want:"1 to 64 letters, digits or . _ : @ - /"`
	// Label: value, or "~" and a regular expression that must match all of it; not empty.
	Match map[string]string `yaml:"match" want:"labels and their values, at least one, such as {alertname: RespPoolLeak}" item:"a value, or \"~\" and a regular expression that must match all of it"`
	// Between two runs on one target.
	Cooldown time.Duration `yaml:"cooldown" want:"a duration from 1s to 24h, not below the verify_within of any step"`
	// The next one only when the one before did not help; 1 to 5.
	Steps []HealingStep `yaml:"steps" want:"a list of steps"`
}

// HealingStep is one action with its settings. Exactly the section of its action is set.
type HealingStep struct {
	Action string `yaml:"action" want:"one of kill_leaked_connections, kill_blocking_transaction, kill_long_queries, recycle_worker, scale_workers, clean_disk, purge_sessions, restart_task, collect_garbage, trace_memory, throttle, call_http, run_command, escalate"`
	// Of the action itself.
	Timeout time.Duration `yaml:"timeout" want:"a duration from 1s to 10m"`
	// How long it may take until it has helped.
	VerifyWithin time.Duration `yaml:"verify_within" want:"a duration from 1s to 30m"`
	// A person must approve the plan first.
	Approve bool `yaml:"approve" want:"true or false"`

	// Its settings, in the file under "with".
	KillLeaked   *KillLeaked   `yaml:"-"`
	KillBlocking *KillBlocking `yaml:"-"`
	KillLong     *KillLong     `yaml:"-"`
	Recycle      *Recycle      `yaml:"-"`
	Scale        *Scale        `yaml:"-"`
	CleanDisk    *CleanDisk    `yaml:"-"`
	Purge        *Purge        `yaml:"-"`
	RestartTask  *RestartTask  `yaml:"-"`
	Collect      *Collect      `yaml:"-"`
	Trace        *Trace        `yaml:"-"`
	Throttle     *Throttle     `yaml:"-"`
	CallHTTP     *CallHTTP     `yaml:"-"`
	RunCommand   *RunCommand   `yaml:"-"`
}

// The values of [KillLeaked.Clients].
const (
	ClientsApp  = "app"  // connections that a process of the app holds, on this host
	ClientsUser = "user" // those too whose process is not seen; never those that a process of another app holds
)

// KillLeaked are the settings of kill_leaked_connections. App and Pool may be
// empty where the alert's labels name them.
type KillLeaked struct {
	App  string `yaml:"app,omitempty" want:"the name of an app"`
	Pool string `yaml:"pool,omitempty" want:"the name of a pool of the app"`
	// Asleep for longer; 1s or more.
	MinIdle time.Duration `yaml:"min_idle" want:"a duration from 1s to 24h"`
	// Required; 1 to 1000.
	MaxVictims int `yaml:"max_victims" want:"a whole number from 1 to 1000"`
	// Of the pool's connections; required; above 0, at most 1.
	MaxFraction float64 `yaml:"max_fraction" want:"a number above 0, at most 1"`
	// Rows changed in its transaction; required.
	MaxTrxRows int `yaml:"max_trx_rows" want:"a whole number, 0 or more"`
	// Of the server, whose connections may be ended; none: the pool's user, without which the action is refused.
	Users []string `yaml:"users,omitempty" want:"a list of users of the server" item:"the name of a user of the server"`
	// ClientsApp or ClientsUser; "": ClientsApp.
	Clients string `yaml:"clients,omitempty" want:"app or user"`
	// "schema.name" of the procedure that ends a connection; "": KILL itself.
	Procedure string `yaml:"procedure,omitempty" want:"schema.name of a stored procedure"`
}

// KillBlocking are the settings of kill_blocking_transaction. App and Pool may be empty
// where the alert's labels name them.
type KillBlocking struct {
	App  string `yaml:"app,omitempty" want:"the name of an app"`
	Pool string `yaml:"pool,omitempty" want:"the name of a pool of the app"`
	// Asleep for longer; required, 1s or more.
	MinIdle time.Duration `yaml:"min_idle" want:"a duration from 1s to 24h"`
	// Connections that wait for one that is ended; 1 to 1000.
	MinBlocked int `yaml:"min_blocked" want:"a whole number from 1 to 1000"`
	// Required; 1 to 100.
	MaxVictims int `yaml:"max_victims" want:"a whole number from 1 to 100"`
	// Rows changed in its transaction; required.
	MaxTrxRows int `yaml:"max_trx_rows" want:"a whole number, 0 or more"`
	// As of KillLeaked.
	Users     []string `yaml:"users,omitempty" want:"a list of users of the server" item:"the name of a user of the server"`
	Procedure string   `yaml:"procedure,omitempty" want:"schema.name of a stored procedure"`
}

// KillLong are the settings of kill_long_queries.
type KillLong struct {
	// The name of a server; may be empty where the alert's label mysql names one.
	MySQL string `yaml:"mysql" want:"the name of a server in the section mysql"`
	// Statements of its processes on this host only; "": of all that log in as one of Users.
	App string `yaml:"app,omitempty" want:"the name of an app"`
	// Whose statements may be ended; required.
	Users []string `yaml:"users" want:"a list of users of the server" item:"the name of a user of the server"`
	// Runs for longer; required, 1s or more.
	MinTime time.Duration `yaml:"min_time" want:"a duration from 1s to 24h"`
	// Required.
	MaxVictims int    `yaml:"max_victims" want:"a whole number from 1 to 1000"`
	Procedure  string `yaml:"procedure,omitempty" want:"schema.name of a stored procedure"`
}

// The values of [Recycle.Pick].
const (
	PickLargest = "largest"                 // the most memory
	PickLeaked  = "most_leaked_connections" // the most leaked connections
	PickStuck   = "stuck"                   // stuck the longest
	PickLeaking = "leaking"                 // loses memory, the fastest
)

// Recycle are the settings of recycle_worker.
type Recycle struct {
	App  string `yaml:"app,omitempty" want:"the name of an app"`
	Pick string `yaml:"pick" want:"largest, leaking, most_leaked_connections or stuck"`
	// Of the worker; younger ones are left alone.
	MinAge time.Duration `yaml:"min_age" want:"a duration from 0s to 24h"`
	// Workers that must be alive; 2 or more.
	MinWorkers int `yaml:"min_workers" want:"a whole number from 2 to 1000"`
	// Argv that imports the app as its master does; none: gunicorn --check-config is run.
	ImportCheck []string `yaml:"import_check,omitempty" want:"a list: the absolute path of a program and its arguments" item:"an argument"`
}

// Scale are the settings of scale_workers.
type Scale = hostactions.Scale

// CleanDisk are the settings of clean_disk.
type CleanDisk = hostactions.CleanDisk

// Purge are the settings of purge_sessions.
type Purge struct {
	App   string `yaml:"app,omitempty" want:"the name of an app"`
	Redis string `yaml:"redis,omitempty" want:"the name of a server in the section redis"`
	// The expiry that is set.
	Grace time.Duration `yaml:"grace" want:"a duration from 1m to 24h"`
	// Untouched for longer; 0: the lifetime of the sessions.
	MinIdle time.Duration `yaml:"min_idle" want:"a duration, 0s or more; 0s is the lifetime of the sessions"`
	// Required.
	MaxKeys int `yaml:"max_keys" want:"a whole number from 1 to 1000000"`
	// Of the sessions; more is refused; required.
	MaxFraction float64 `yaml:"max_fraction" want:"a number above 0, at most 1"`
	// Remove them at once.
	Remove bool `yaml:"remove" want:"true or false"`
}

// RestartTask are the settings of restart_task.
type RestartTask struct {
	App   string `yaml:"app,omitempty" want:"the name of an app"`
	Queue string `yaml:"queue,omitempty" want:"the name of a queue, of at most 128 bytes"`
	// Inside of the app, which runs it by itself.
	Task string `yaml:"task,omitempty" want:"the name of a task inside of the app, of at most 48 bytes, and no queue"`
	// Its jobs may run twice; required to be true.
	Idempotent bool `yaml:"idempotent" want:"true, if its jobs may run twice: a job that is interrupted is run again"`
	// Without progress for longer; required.
	MinStuck time.Duration `yaml:"min_stuck" want:"a duration from 1s to 24h"`
}

// Collect are the settings of collect_garbage.
type Collect = appactions.Collect

// Trace are the settings of trace_memory.
type Trace = appactions.Trace

// Throttle are the settings of throttle.
type Throttle = appactions.Throttle

// CallHTTP are the settings of call_http.
type CallHTTP struct {
	// Http or https, fixed.
	URL string `yaml:"url" want:"a URL with http or https, without a user" form:"hidden"`
	// Absolute path; sent as a bearer token.
	TokenFile string `yaml:"token_file,omitempty" want:"an absolute path such as /etc/resp-exporter/webhook-token"`
	// Whose Component.
	App string `yaml:"app,omitempty" want:"the name of an app"`
	// Of the exporter's judgement, that must be unwell before and well after; "": nothing is measured.
	Component string `yaml:"component,omitempty" want:"a component of resp_health_status, such as disk"`
}

// RunCommand are the settings of run_command.
type RunCommand struct {
	// The program's absolute path and its arguments, fixed.
	Argv []string `yaml:"argv" want:"a list: the absolute path of a program and its arguments" item:"an argument"`
	// Whose Component.
	App string `yaml:"app,omitempty" want:"the name of an app"`
	// As of CallHTTP.
	Component string `yaml:"component,omitempty" want:"a component of resp_health_status, such as disk"`
}
