package config

import (
	"time"

	"gopkg.in/yaml.v3"
)

// The names of the actions.
const (
	ActionKillLeaked  = "kill_leaked_connections"
	ActionKillLong    = "kill_long_queries"
	ActionRecycle     = "recycle_worker"
	ActionPurge       = "purge_sessions"
	ActionRestartTask = "restart_task"
	ActionCallHTTP    = "call_http"
	ActionRunCommand  = "run_command"
	ActionEscalate    = "escalate"
)

// ActionNames lists the actions in the order of the documentation.
func ActionNames() []string {
	return []string{
		ActionKillLeaked, ActionKillLong, ActionRecycle, ActionPurge, ActionRestartTask, ActionCallHTTP, ActionRunCommand, ActionEscalate,
	}
}

func defaultHealing() Healing {
	return Healing{
		Mode:      HealDryRun,
		QueueSize: 64,
		Budgets:   Budgets{MaxRuns: 20, Per: time.Hour, MaxConcurrent: 1, FleetMaxFraction: 0.34, FleetMinHealthy: 2},
		Breaker:   Breaker{Failures: 3, Window: time.Hour, Hold: 30 * time.Minute},
		Warmup:    2 * time.Minute,
	}
}

func defaultRule() HealingRule { return HealingRule{Cooldown: 5 * time.Minute} }

// notGiven is a required number of which 0 is a good value.
const notGiven = -1

// NewHealingStep returns a step of an action with the defaults of its settings;
// what is required has no default. Of a name that is no action it has no section.
func NewHealingStep(action string) HealingStep {
	s := HealingStep{Action: action, Timeout: 30 * time.Second, VerifyWithin: time.Minute}
	switch action {
	case ActionKillLeaked:
		s.KillLeaked = &KillLeaked{MinIdle: time.Minute, MaxTrxRows: notGiven}
	case ActionKillLong:
		s.KillLong = &KillLong{}
	case ActionRecycle:
		s.Timeout = time.Minute // a stuck worker gets its graceful timeout, and is ended hard after that
		s.Recycle = &Recycle{MinAge: 2 * time.Minute, MinWorkers: 2}
	case ActionPurge:
		s.Purge = &Purge{Grace: time.Hour}
	case ActionRestartTask:
		s.RestartTask = &RestartTask{}
	case ActionCallHTTP:
		s.CallHTTP = &CallHTTP{}
	case ActionRunCommand:
		s.RunCommand = &RunCommand{}
	case ActionEscalate:
		s.Timeout, s.VerifyWithin = 0, 0
	}
	return s
}

func (d *decoder) healing(h *Healing) setter {
	return d.mapping([]field{
		{"mode", d.text(&h.Mode, wantMode)},
		{"token_file", d.text(&h.TokenFile, wantTokenFile)},
		{"identity", d.mapping([]field{
			{"label", d.text(&h.Identity.Label, wantLabel)},
			{"value", d.text(&h.Identity.Value, wantIdentity)},
		})},
		{"coordination", d.mapping([]field{
			{"redis", d.text(&h.Coordination.Redis, wantServer("redis"))},
		})},
		{"queue_size", d.whole(&h.QueueSize, wantQueueSize)},
		{"budgets", d.mapping([]field{
			{"max_runs", d.whole(&h.Budgets.MaxRuns, wantMaxRuns)},
			{"per", d.duration(&h.Budgets.Per, wantPer)},
			{"max_concurrent", d.whole(&h.Budgets.MaxConcurrent, wantConcurrent)},
			{"fleet_max_fraction", d.number(&h.Budgets.FleetMaxFraction, wantFraction)},
			{"fleet_min_healthy", d.whole(&h.Budgets.FleetMinHealthy, wantMinHealthy)},
		})},
		{"breaker", d.mapping([]field{
			{"failures", d.whole(&h.Breaker.Failures, wantFailures)},
			{"window", d.duration(&h.Breaker.Window, wantPer)},
			{"hold", d.duration(&h.Breaker.Hold, wantPer)},
		})},
		{"warmup", d.duration(&h.Warmup, wantWarmup)},
		{"rules", d.list("a list of rules", func(n *yaml.Node, path string) {
			h.Rules = append(h.Rules, defaultRule())
			d.healingRule(&h.Rules[len(h.Rules)-1])(n, path)
		})},
	})
}

func (d *decoder) healingRule(r *HealingRule) setter {
	return d.mapping([]field{
		{"name", d.text(&r.Name, wantName)},
		{"match", d.labels(&r.Match)},
		{"cooldown", d.duration(&r.Cooldown, wantCooldown)},
		{"steps", d.list("a list of steps", func(n *yaml.Node, path string) {
			r.Steps = append(r.Steps, HealingStep{})
			d.healingStep(&r.Steps[len(r.Steps)-1])(n, path)
		})},
	})
}

// healingStep looks for the action first: "with" is of its kind, wherever it
// stands.
func (d *decoder) healingStep(s *HealingStep) setter {
	return func(n *yaml.Node, path string) {
		*s = NewHealingStep(actionOf(n))
		fields := []field{
			{"action", d.text(&s.Action, wantAction)},
			{"timeout", d.duration(&s.Timeout, wantTimeout)},
			{"verify_within", d.duration(&s.VerifyWithin, wantVerify)},
			{"approve", d.truth(&s.Approve)},
			{"with", d.with(s)},
		}
		if s.Action == ActionEscalate {
			fields = fields[:1] // it does nothing that could take time or go wrong
		}
		d.mapping(fields)(n, path)
	}
}

// actionOf finds the text of the key "action" in a step.
func actionOf(n *yaml.Node) string {
	if n.Kind != yaml.MappingNode {
		return ""
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "action" && n.Content[i+1].Kind == yaml.ScalarNode {
			return n.Content[i+1].Value
		}
	}
	return ""
}

// with returns the schema of the action of s. Where there is none, the action
// itself is a fault, and nothing is said about its settings.
func (d *decoder) with(s *HealingStep) setter {
	switch {
	case s.KillLeaked != nil:
		return d.killLeaked(s.KillLeaked)
	case s.KillLong != nil:
		return d.killLong(s.KillLong)
	case s.Recycle != nil:
		return d.recycle(s.Recycle)
	case s.Purge != nil:
		return d.purge(s.Purge)
	case s.RestartTask != nil:
		return d.restartTask(s.RestartTask)
	case s.CallHTTP != nil:
		return d.mapping([]field{
			{"url", d.hidden(&s.CallHTTP.URL, wantHookURL)},
			{"token_file", d.text(&s.CallHTTP.TokenFile, wantTokenFile)},
			{"app", d.text(&s.CallHTTP.App, wantApp)},
			{"component", d.text(&s.CallHTTP.Component, wantComponent)},
		})
	case s.RunCommand != nil:
		return d.mapping([]field{
			{"argv", d.texts(&s.RunCommand.Argv, wantArgv, "an argument")},
			{"app", d.text(&s.RunCommand.App, wantApp)},
			{"component", d.text(&s.RunCommand.Component, wantComponent)},
		})
	default:
		return func(*yaml.Node, string) {}
	}
}

func (d *decoder) killLeaked(k *KillLeaked) setter {
	return d.mapping([]field{
		{"app", d.text(&k.App, wantApp)},
		{"pool", d.text(&k.Pool, wantPool)},
		{"min_idle", d.duration(&k.MinIdle, wantSeconds)},
		{"max_victims", d.whole(&k.MaxVictims, wantVictims)},
		{"max_fraction", d.number(&k.MaxFraction, wantFraction)},
		{"max_trx_rows", d.whole(&k.MaxTrxRows, wantRows)},
		{"users", d.texts(&k.Users, "a list of users of the server", wantLogin)},
		{"clients", d.text(&k.Clients, wantClients)},
		{"procedure", d.text(&k.Procedure, wantProcedure)},
	})
}

func (d *decoder) killLong(k *KillLong) setter {
	return d.mapping([]field{
		{"mysql", d.text(&k.MySQL, wantServer("mysql"))},
		{"app", d.text(&k.App, wantApp)},
		{"users", d.texts(&k.Users, "a list of users of the server", wantLogin)},
		{"min_time", d.duration(&k.MinTime, wantSeconds)},
		{"max_victims", d.whole(&k.MaxVictims, wantVictims)},
		{"procedure", d.text(&k.Procedure, wantProcedure)},
	})
}

func (d *decoder) recycle(r *Recycle) setter {
	return d.mapping([]field{
		{"app", d.text(&r.App, wantApp)},
		{"pick", d.text(&r.Pick, wantPick)},
		{"min_age", d.duration(&r.MinAge, wantMinAge)},
		{"min_workers", d.whole(&r.MinWorkers, wantMinWorkers)},
		{"import_check", d.texts(&r.ImportCheck, wantArgv, "an argument")},
	})
}

func (d *decoder) purge(p *Purge) setter {
	return d.mapping([]field{
		{"app", d.text(&p.App, wantApp)},
		{"redis", d.text(&p.Redis, wantServer("redis"))},
		{"grace", d.duration(&p.Grace, wantGrace)},
		{"min_idle", d.duration(&p.MinIdle, wantMinIdle)},
		{"max_keys", d.whole(&p.MaxKeys, wantKeys)},
		{"max_fraction", d.number(&p.MaxFraction, wantFraction)},
		{"remove", d.truth(&p.Remove)},
	})
}

func (d *decoder) restartTask(r *RestartTask) setter {
	return d.mapping([]field{
		{"app", d.text(&r.App, wantApp)},
		{"queue", d.text(&r.Queue, wantQueue)},
		{"idempotent", d.truth(&r.Idempotent)},
		{"min_stuck", d.duration(&r.MinStuck, wantSeconds)},
	})
}

// labels takes a mapping whose keys are not known before.
func (d *decoder) labels(to *map[string]string) setter {
	return func(n *yaml.Node, path string) {
		if empty(n) || !d.is(n, path, wantMatchers, tagMap) {
			return
		}
		seen := make(map[string]int)
		out := make(map[string]string)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != yaml.ScalarNode || key.Anchor != "" || key.ShortTag() != tagStr {
				d.wrong(key, path, wantMatchers)
				continue
			}
			if d.again(key, path, seen) {
				continue
			}
			at := under(path, keyText(key.Value))
			d.lines[at] = key.Line
			var value string
			d.text(&value, wantValue)(n.Content[i+1], at)
			out[key.Value] = value
		}
		*to = out
	}
}

// texts takes a list of texts.
func (d *decoder) texts(to *[]string, want, item string) setter {
	return d.list(want, func(n *yaml.Node, path string) {
		*to = append(*to, "")
		d.text(&(*to)[len(*to)-1], item)(n, path)
	})
}

// truth takes true or false.
func (d *decoder) truth(to *bool) setter {
	return func(n *yaml.Node, path string) {
		if !d.is(n, path, "true or false", tagBool) {
			return
		}
		var v bool
		if n.Decode(&v) != nil {
			d.wrong(n, path, "true or false")
			return
		}
		*to = v
	}
}

// hidden takes text that may hold a password, and repeats none of it.
func (d *decoder) hidden(to *string, want string) setter {
	return func(n *yaml.Node, path string) {
		var s Secret
		d.secret(&s, want)(n, path)
		*to = string(s)
	}
}
