package config

import "time"

// The values of [Healing.Mode].
const (
	HealOff     = "off"     // alerts are taken and nothing is planned
	HealDryRun  = "dry_run" // plans are made and written down, nothing is done
	HealEnforce = "enforce" // plans are carried out
)

// Healing is the section of the webhook and the clean-up actions.
type Healing struct {
	Mode         string        `yaml:"mode"`                 // HealOff, HealDryRun or HealEnforce
	TokenFile    string        `yaml:"token_file,omitempty"` // absolute path; what a caller must present as a bearer token
	Identity     Identity      `yaml:"identity"`
	Coordination Coordination  `yaml:"coordination"`
	QueueSize    int           `yaml:"queue_size"` // runs that may wait; 1 to 1000
	Budgets      Budgets       `yaml:"budgets"`
	Breaker      Breaker       `yaml:"breaker"`
	Warmup       time.Duration `yaml:"warmup"`          // after the start nothing is done for that long
	Rules        []HealingRule `yaml:"rules,omitempty"` // at most 50
}

// Identity is the label that an alert must carry for this exporter to act on
// it. Both are empty: it acts on all.
type Identity struct {
	Label string `yaml:"label,omitempty"`
	Value string `yaml:"value,omitempty"`
}

// Coordination is where leases and the fleet's budget are kept for all
// exporters together.
type Coordination struct {
	Redis string `yaml:"redis,omitempty"` // the name of a server in the section redis; "": this exporter alone
}

// Budgets bound what is done, whatever the alerts ask for.
type Budgets struct {
	MaxRuns          int           `yaml:"max_runs"` // in Per; 1 to 1000
	Per              time.Duration `yaml:"per"`
	MaxConcurrent    int           `yaml:"max_concurrent"`     // 1 to 10
	FleetMaxFraction float64       `yaml:"fleet_max_fraction"` // of the targets of one action that may be under repair at once; above 0, at most 1
	FleetMinHealthy  int           `yaml:"fleet_min_healthy"`  // targets that must stay without repair
}

// Breaker stops an action that keeps failing.
type Breaker struct {
	Failures int           `yaml:"failures"` // within Window; 1 to 100
	Window   time.Duration `yaml:"window"`
	Hold     time.Duration `yaml:"hold"` // how long it stays open
}

// HealingRule says which alerts start which actions.
type HealingRule struct {
	Name     string            `yaml:"name"`     // 1 to 64 letters, digits or . _ : @ - /
	Match    map[string]string `yaml:"match"`    // label: value, or "~" and a regular expression that must match all of it; not empty
	Cooldown time.Duration     `yaml:"cooldown"` // between two runs on one target
	Steps    []HealingStep     `yaml:"steps"`    // the next one only when the one before did not help; 1 to 5
}

// HealingStep is one action with its settings. Exactly the section of its
// action is set.
type HealingStep struct {
	Action       string        `yaml:"action"`
	Timeout      time.Duration `yaml:"timeout"`       // of the action itself
	VerifyWithin time.Duration `yaml:"verify_within"` // how long it may take until it has helped
	Approve      bool          `yaml:"approve"`       // a person must approve the plan first

	// Its settings, in the file under "with".
	KillLeaked  *KillLeaked  `yaml:"-"`
	KillLong    *KillLong    `yaml:"-"`
	Recycle     *Recycle     `yaml:"-"`
	Purge       *Purge       `yaml:"-"`
	RestartTask *RestartTask `yaml:"-"`
	CallHTTP    *CallHTTP    `yaml:"-"`
	RunCommand  *RunCommand  `yaml:"-"`
}

// The values of [KillLeaked.Clients].
const (
	ClientsApp  = "app"  // connections that a process of the app holds, on this host
	ClientsUser = "user" // those too whose process is not seen; never those that a process of another app holds
)

// KillLeaked are the settings of kill_leaked_connections. App and Pool may be
// empty where the alert's labels name them.
type KillLeaked struct {
	App         string        `yaml:"app,omitempty"`
	Pool        string        `yaml:"pool,omitempty"`
	MinIdle     time.Duration `yaml:"min_idle"`            // asleep for longer; 1s or more
	MaxVictims  int           `yaml:"max_victims"`         // required; 1 to 1000
	MaxFraction float64       `yaml:"max_fraction"`        // of the pool's connections; required; above 0, at most 1
	MaxTrxRows  int           `yaml:"max_trx_rows"`        // rows changed in its transaction; required
	Users       []string      `yaml:"users,omitempty"`     // of the server, whose connections may be ended; none: the pool's user, without which the action is refused
	Clients     string        `yaml:"clients,omitempty"`   // ClientsApp or ClientsUser; "": ClientsApp
	Procedure   string        `yaml:"procedure,omitempty"` // "schema.name" of the procedure that ends a connection; "": KILL itself
}

// KillLong are the settings of kill_long_queries.
type KillLong struct {
	MySQL      string        `yaml:"mysql"`         // the name of a server; may be empty where the alert's label mysql names one
	App        string        `yaml:"app,omitempty"` // statements of its processes on this host only; "": of all that log in as one of Users
	Users      []string      `yaml:"users"`         // whose statements may be ended; required
	MinTime    time.Duration `yaml:"min_time"`      // runs for longer; required, 1s or more
	MaxVictims int           `yaml:"max_victims"`   // required
	Procedure  string        `yaml:"procedure,omitempty"`
}

// The values of [Recycle.Pick].
const (
	PickLargest = "largest"                 // the most memory
	PickLeaked  = "most_leaked_connections" // the most leaked connections
	PickStuck   = "stuck"                   // stuck the longest
	PickLeaking = "leaking"                 // grows the fastest; not yet
)

// Recycle are the settings of recycle_worker.
type Recycle struct {
	App         string        `yaml:"app,omitempty"`
	Pick        string        `yaml:"pick"`
	MinAge      time.Duration `yaml:"min_age"`                // of the worker; younger ones are left alone
	MinWorkers  int           `yaml:"min_workers"`            // workers that must be alive; 2 or more
	ImportCheck []string      `yaml:"import_check,omitempty"` // argv that imports the app as its master does; none: gunicorn itself is asked to check
}

// Purge are the settings of purge_sessions.
type Purge struct {
	App         string        `yaml:"app,omitempty"`
	Redis       string        `yaml:"redis,omitempty"`
	Grace       time.Duration `yaml:"grace"`        // the expiry that is set
	MinIdle     time.Duration `yaml:"min_idle"`     // untouched for longer; 0: the lifetime of the sessions
	MaxKeys     int           `yaml:"max_keys"`     // required
	MaxFraction float64       `yaml:"max_fraction"` // of the sessions; more is refused; required
	Remove      bool          `yaml:"remove"`       // remove them at once
}

// RestartTask are the settings of restart_task.
type RestartTask struct {
	App        string        `yaml:"app,omitempty"`
	Queue      string        `yaml:"queue,omitempty"`
	Idempotent bool          `yaml:"idempotent"` // its jobs may run twice; required to be true
	MinStuck   time.Duration `yaml:"min_stuck"`  // without progress for longer; required
}

// CallHTTP are the settings of call_http.
type CallHTTP struct {
	URL       string `yaml:"url"`                  // http or https, fixed
	TokenFile string `yaml:"token_file,omitempty"` // absolute path; sent as a bearer token
	App       string `yaml:"app,omitempty"`        // whose Component
	Component string `yaml:"component,omitempty"`  // of the exporter's judgement, that must be unwell before and well after; "": nothing is measured
}

// RunCommand are the settings of run_command.
type RunCommand struct {
	Argv      []string `yaml:"argv"`                // the program's absolute path and its arguments, fixed
	App       string   `yaml:"app,omitempty"`       // whose Component
	Component string   `yaml:"component,omitempty"` // as of CallHTTP
}
