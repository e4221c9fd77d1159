package config

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config/appactions"
	"github.com/resp-exporter/resp-exporter/internal/config/hostactions"
)

// The names of the actions.
const (
	ActionKillLeaked   = "kill_leaked_connections"
	ActionKillBlocking = "kill_blocking_transaction"
	ActionKillLong     = "kill_long_queries"
	ActionRecycle      = "recycle_worker"
	ActionScale        = "scale_workers"
	ActionCleanDisk    = "clean_disk"
	ActionPurge        = "purge_sessions"
	ActionRestartTask  = "restart_task"
	ActionCollect      = "collect_garbage"
	ActionTrace        = "trace_memory"
	ActionThrottle     = "throttle"
	ActionCallHTTP     = "call_http"
	ActionRunCommand   = "run_command"
	ActionEscalate     = "escalate"
)

// ActionNames returns the names of all actions, in the order of the documentation.
func ActionNames() []string {
	return []string{
		ActionKillLeaked, ActionKillBlocking, ActionKillLong, ActionRecycle, ActionScale, ActionCleanDisk, ActionPurge, ActionRestartTask,
		ActionCollect, ActionTrace, ActionThrottle,
		ActionCallHTTP, ActionRunCommand, ActionEscalate,
	}
}

func defaultHealing() Healing {
	return Healing{
		Mode:      HealDryRun,
		QueueSize: 64,
		Budgets:   Budgets{MaxRuns: 20, Per: time.Hour, MaxConcurrent: 1, FleetMaxFraction: 0.34, FleetMinHealthy: 2, StormExit: 5 * time.Minute},
		Breaker:   Breaker{Failures: 3, Window: time.Hour, Hold: 30 * time.Minute},
		Warmup:    2 * time.Minute,
	}
}

// SetDefaults implements [schema.Defaulter].
func (r *HealingRule) SetDefaults() { *r = HealingRule{Cooldown: 5 * time.Minute} }

// notGiven is the value of a required number for which 0 is a valid value.
const notGiven = -1

// Choose implements [schema.Variant].
func (s *HealingStep) Choose(action string) { *s = NewHealingStep(action) }

// Bare implements [schema.Variant]: escalate does nothing that could take time or go wrong.
func (s *HealingStep) Bare() bool { return s.Action == ActionEscalate }

// NewHealingStep returns a step of an action with the defaults of its settings; what is
// required has none. An unknown action and escalate have no settings, escalate no times either.
func NewHealingStep(action string) HealingStep {
	s := HealingStep{Action: action, Timeout: 30 * time.Second, VerifyWithin: time.Minute}
	switch action {
	case ActionKillLeaked:
		s.KillLeaked = &KillLeaked{MinIdle: time.Minute, MaxTrxRows: notGiven}
	case ActionKillBlocking:
		s.KillBlocking = &KillBlocking{MinBlocked: 1, MaxTrxRows: notGiven}
	case ActionKillLong:
		s.KillLong = &KillLong{}
	case ActionRecycle:
		s.Timeout = time.Minute // a stuck worker gets its graceful timeout, and is ended hard after that
		s.Recycle = &Recycle{MinAge: 2 * time.Minute, MinWorkers: 2}
	case ActionScale:
		s.Scale = hostactions.NewScale()
	case ActionCleanDisk:
		s.CleanDisk = hostactions.NewCleanDisk()
	case ActionPurge:
		s.Purge = &Purge{Grace: time.Hour}
	case ActionRestartTask:
		s.RestartTask = &RestartTask{}
	case ActionCollect:
		s.Collect = appactions.NewCollect()
	case ActionTrace:
		s.Trace = appactions.NewTrace()
	case ActionThrottle:
		s.Throttle = appactions.NewThrottle()
	case ActionCallHTTP:
		s.CallHTTP = &CallHTTP{}
	case ActionRunCommand:
		s.RunCommand = &RunCommand{}
	case ActionEscalate:
		s.Timeout, s.VerifyWithin = 0, 0
	}
	return s
}
