package config

import (
	"fmt"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config/fleet"
	"github.com/resp-exporter/resp-exporter/internal/config/schema"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// The bounds of the section healing.
const (
	maxHealingRules = 50
	maxSteps        = 5
	maxMatchers     = 20
	maxQueueSize    = 1000
	maxArgv         = 64
	maxUsers        = 20
	maxDay          = 24 * time.Hour
)

// What is expected of values beside what the schema says.
const (
	wantWell = "three times monitoring_interval or more, because a component takes that long to recover"
)

var procedure = regexp.MustCompile(`^[A-Za-z0-9_$]+$`) // each half of schema.name

// healingProblems returns the problems of the section healing.
func (c *Config) healingProblems() []problem {
	h := &c.Healing
	k := &checks{path: "healing"}
	k.need(slices.Contains([]string{HealOff, HealDryRun, HealEnforce}, h.Mode), "mode", h.Mode, "")
	k.need(h.TokenFile == "" || schema.IsAbsolute(h.TokenFile), "token_file", h.TokenFile, "")
	k.need(h.Mode != HealEnforce || h.TokenFile != "", "token_file", nil, ", which enforce requires")
	h.Identity.Check(k.need)
	if h.Coordination.Redis != "" {
		k.out = append(k.out, c.redisNamed("healing.coordination.redis", h.Coordination.Redis)...)
	}
	k.out = append(k.out, c.sharedServer("healing.relay.redis", h.Relay.Redis)...)
	h.Relay.Check(k.need, h.TokenFile != "" || h.Mode == HealEnforce, h.Identity)
	k.out = append(k.out, c.sharedServer("healing.control.redis", h.Control.Redis)...)
	h.Control.Check(k.need, h.TokenFile)
	k.need(within(h.QueueSize, 1, maxQueueSize), "queue_size", h.QueueSize, "")
	k.need(within(h.Budgets.MaxRuns, 1, 1000), "budgets.max_runs", h.Budgets.MaxRuns, "")
	k.need(within(h.Budgets.Per, time.Second, maxDay), "budgets.per", h.Budgets.Per, "")
	k.need(within(h.Budgets.MaxConcurrent, 1, 10), "budgets.max_concurrent", h.Budgets.MaxConcurrent, "")
	k.need(isFraction(h.Budgets.FleetMaxFraction), "budgets.fleet_max_fraction", h.Budgets.FleetMaxFraction, "")
	k.need(within(h.Budgets.FleetMinHealthy, 0, 1000), "budgets.fleet_min_healthy", h.Budgets.FleetMinHealthy, "")
	k.need(within(h.Budgets.StormExit, 0, maxDay), "budgets.storm_exit", h.Budgets.StormExit, "")
	k.need(within(h.Breaker.Failures, 1, 100), "breaker.failures", h.Breaker.Failures, "")
	k.need(within(h.Breaker.Window, time.Second, maxDay), "breaker.window", h.Breaker.Window, "")
	k.need(within(h.Breaker.Hold, time.Second, maxDay), "breaker.hold", h.Breaker.Hold, "")
	k.need(within(h.Warmup, 0, time.Hour), "warmup", h.Warmup, "")
	k.need(len(h.Rules) <= maxHealingRules, "rules", len(h.Rules), "at most 50 rules")
	names := nameList{kind: "healing.rules", first: make(map[string]int)}
	for i := range h.Rules {
		k.out = append(k.out, names.check(i, h.Rules[i].Name)...)
		k.out = append(k.out, c.ruleProblems(&h.Rules[i], fmt.Sprintf("healing.rules[%d]", i))...)
	}
	return k.out
}

// sharedServer returns what is wrong with the Redis that exporters share for a setting:
// it is not configured, or a cluster. nil: nothing is, or the name is "".
func (c *Config) sharedServer(path, name string) []problem {
	if name == "" {
		return nil
	}
	out := c.redisNamed(path, name)
	for _, r := range c.Redis {
		if u, err := ParseRedisURL(r.URL); r.Name == name && err == nil && u.Kind == RedisCluster {
			out = append(out, problem{path, "got a cluster", "a server that is not a cluster"})
		}
	}
	return out
}

func isFraction(f float64) bool { return f > 0 && f <= 1 }

func (c *Config) ruleProblems(r *HealingRule, path string) []problem {
	k := &checks{path: path}
	k.need(len(r.Match) > 0, "match", nil, "")
	k.need(len(r.Match) <= maxMatchers, "match", fmt.Sprintf("%d labels", len(r.Match)), "at most 20 labels")
	selects := false
	for _, label := range slices.Sorted(maps.Keys(r.Match)) {
		value := r.Match[label]
		k.need(isLabelName(label), "match."+schema.KeyText(label), label, schema.Wanted[Identity]("label"))
		k.need(value != "" && len(value) <= 1024, "match."+schema.KeyText(label), value, "")
		matches, err := MatchValue(value)
		if err != nil {
			k.out = append(k.out, problem{schema.JoinPath(path, "match."+schema.KeyText(label)), schema.RegexpFault(err), ""})
		}
		selects = selects || err != nil || !matches("")
	}
	k.need(selects || len(r.Match) == 0, "match", "only expressions that match the empty string", "at least one expression that does not match a missing label")
	k.need(within(len(r.Steps), 1, maxSteps), "steps", fmt.Sprintf("%d steps", len(r.Steps)), "1 to 5 steps")
	k.need(within(r.Cooldown, time.Second, maxDay), "cooldown", r.Cooldown, "")
	for i := range r.Steps {
		if s := &r.Steps[i]; s.VerifyWithin > r.Cooldown {
			k.out = append(k.out, problem{schema.JoinPath(path, "cooldown"), fmt.Sprintf("got %v, but verify_within of steps[%d] is %v", r.Cooldown, i, s.VerifyWithin), ""})
			break
		}
	}
	for i := range r.Steps {
		s := &r.Steps[i]
		at := fmt.Sprintf("%s.steps[%d]", path, i)
		k.out = append(k.out, c.stepProblems(s, at)...)
		k.out = append(k.out, c.sharedProblems(s, at)...)
		k.need(s.Action != ActionEscalate || i == len(r.Steps)-1, fmt.Sprintf("steps[%d].action", i), s.Action, "escalate only as the last step")
	}
	return k.out
}

// MatchValue returns a function that reports whether a label's value matches want: it is equal
// to it, or, if want is "~" and a regular expression, the expression matches the whole value.
// The error is that of the expression.
func MatchValue(want string) (func(string) bool, error) {
	expr, ok := strings.CutPrefix(want, "~")
	if !ok {
		return func(s string) bool { return s == want }, nil
	}
	if _, err := regexp.Compile(expr); err != nil { // so that "a)(b" cannot close what is around it
		return nil, err
	}
	re, err := regexp.Compile(`^(?:` + expr + `)$`)
	if err != nil {
		return nil, err
	}
	return re.MatchString, nil
}

// stepProblems returns what is wrong with a step at a path: for escalate nothing, of an unknown action that alone.
func (c *Config) stepProblems(s *HealingStep, at string) []problem {
	k := &checks{path: at}
	k.need(slices.Contains(ActionNames(), s.Action), "action", s.Action, "")
	if s.Action == ActionEscalate || len(k.out) > 0 {
		return k.out
	}
	k.need(within(s.Timeout, time.Second, 10*time.Minute), "timeout", s.Timeout, "")
	k.need(within(s.VerifyWithin, time.Second, 30*time.Minute), "verify_within", s.VerifyWithin, "")
	k.need(!s.judged() || s.VerifyWithin >= 3*c.MonitoringInterval, "verify_within", s.VerifyWithin, wantWell)
	k.path = schema.JoinPath(at, "with")
	switch {
	case s.KillLeaked != nil && s.Action == ActionKillLeaked:
		c.killLeakedProblems(k, s.KillLeaked)
	case s.KillBlocking != nil && s.Action == ActionKillBlocking:
		c.killBlockingProblems(k, s.KillBlocking)
	case s.KillLong != nil && s.Action == ActionKillLong:
		c.killLongProblems(k, s.KillLong)
	case s.Recycle != nil && s.Action == ActionRecycle:
		c.recycleProblems(k, s.Recycle)
	case s.Purge != nil && s.Action == ActionPurge:
		c.purgeProblems(k, s.Purge)
	case s.RestartTask != nil && s.Action == ActionRestartTask:
		c.restartProblems(k, s.RestartTask)
	case s.CallHTTP != nil && s.Action == ActionCallHTTP:
		if !isHookURL(s.CallHTTP.URL) {
			k.out = append(k.out, problem{schema.JoinPath(k.path, "url"), "missing or invalid (not shown, it may contain a password)", ""})
		}
		k.need(s.CallHTTP.TokenFile == "" || schema.IsAbsolute(s.CallHTTP.TokenFile), "token_file", s.CallHTTP.TokenFile, "")
		c.judged(k, s.CallHTTP.App, s.CallHTTP.Component)
	case s.RunCommand != nil && s.Action == ActionRunCommand:
		k.argv("argv", s.RunCommand.Argv, true)
		c.judged(k, s.RunCommand.App, s.RunCommand.Component)
	default:
		k.need(c.hostProblems(k, s), "", nil, "the settings of its action")
	}
	return k.out
}

// hostProblems adds what is wrong with the settings of an action on the host or by a
// control file. It reports whether the step is of such an action and has its settings.
func (c *Config) hostProblems(k *checks, s *HealingStep) bool {
	switch {
	case s.Scale != nil && s.Action == ActionScale:
		c.appNamed(k, s.Scale.App)
		s.Scale.Check(k.need)
		k.argv("import_check", s.Scale.ImportCheck, false)
	case s.CleanDisk != nil && s.Action == ActionCleanDisk:
		k.need(s.CleanDisk.Owner == "" || isUserName(s.CleanDisk.Owner), "owner", s.CleanDisk.Owner, "")
		s.CleanDisk.Check(k.need)
	case s.Collect != nil && s.Action == ActionCollect:
		c.appNamed(k, s.Collect.App)
		s.Collect.Check(k.need, s.VerifyWithin)
	case s.Trace != nil && s.Action == ActionTrace:
		c.appNamed(k, s.Trace.App)
		s.Trace.Check(k.need, s.VerifyWithin)
	case s.Throttle != nil && s.Action == ActionThrottle:
		c.appNamed(k, s.Throttle.App)
		s.Throttle.Check(k.need, Components())
	default:
		return false
	}
	return true
}

// judged reports whether a step is call_http or run_command with a component, whose state measures its result.
func (s *HealingStep) judged() bool {
	return s.CallHTTP != nil && s.CallHTTP.Component != "" || s.RunCommand != nil && s.RunCommand.Component != ""
}

func isLabelName(s string) bool { return fleet.IsLabelName(s) }

// isProcedure reports whether s is schema.name, each of 1 to 64 letters of ASCII, digits, _ and $.
func isProcedure(s string) bool {
	schema, name, _ := strings.Cut(s, ".")
	return text.Matches(procedure, schema, 64) && text.Matches(procedure, name, 64)
}

var componentForm = regexp.MustCompile(`^[a-z_]+$`)

// judged adds what is wrong with the app and the component by whose state the result of a
// step is measured.
func (c *Config) judged(k *checks, app, component string) {
	c.appNamed(k, app)
	k.need(component == "" && app == "" || text.Matches(componentForm, component, 64), "component", component, "")
}

func (c *Config) killLeakedProblems(k *checks, s *KillLeaked) {
	c.poolNamed(k, s.App, s.Pool)
	k.need(within(s.MinIdle, time.Second, maxDay), "min_idle", s.MinIdle, "")
	required(k, "max_victims", s.MaxVictims, 0, 1, 1000)
	k.fraction(s.MaxFraction)
	required(k, "max_trx_rows", s.MaxTrxRows, notGiven, 0, 1<<40)
	k.users(s.Users)
	k.need(slices.Contains([]string{"", ClientsApp, ClientsUser}, s.Clients), "clients", s.Clients, "")
	k.need(s.Procedure == "" || isProcedure(s.Procedure), "procedure", s.Procedure, "")
}

func (c *Config) killBlockingProblems(k *checks, s *KillBlocking) {
	c.poolNamed(k, s.App, s.Pool)
	required(k, "min_idle", s.MinIdle, 0, time.Second, maxDay)
	k.need(within(s.MinBlocked, 1, 1000), "min_blocked", s.MinBlocked, "")
	required(k, "max_victims", s.MaxVictims, 0, 1, 100)
	required(k, "max_trx_rows", s.MaxTrxRows, notGiven, 0, 1<<40)
	k.users(s.Users)
	k.need(s.Procedure == "" || isProcedure(s.Procedure), "procedure", s.Procedure, "")
}

// poolNamed adds a problem if the app is not configured, or has no pool of that name.
func (c *Config) poolNamed(k *checks, app, pool string) {
	c.appNamed(k, app)
	if a := c.appOf(app); a != nil && pool != "" && len(a.Pools) > 0 {
		k.need(slices.ContainsFunc(a.Pools, func(p Pool) bool { return p.Name == pool }), "pool", pool, "")
	}
	k.need(pool == "" || isAppName(pool), "pool", pool, "")
}

func (c *Config) killLongProblems(k *checks, s *KillLong) {
	if s.MySQL != "" {
		exists := slices.ContainsFunc(c.MySQL, func(m MySQL) bool { return m.Name == s.MySQL })
		k.out = append(k.out, serverProblems(schema.JoinPath(k.path, "mysql"), s.MySQL, exists)...)
	}
	c.appNamed(k, s.App)
	k.need(len(s.Users) > 0, "users", nil, "the users whose statements may be ended (required)")
	k.users(s.Users)
	required(k, "min_time", s.MinTime, 0, time.Second, maxDay)
	required(k, "max_victims", s.MaxVictims, 0, 1, 1000)
	k.need(s.Procedure == "" || isProcedure(s.Procedure), "procedure", s.Procedure, "")
}

func (c *Config) recycleProblems(k *checks, s *Recycle) {
	c.appNamed(k, s.App)
	k.need(slices.Contains([]string{PickLargest, PickLeaking, PickLeaked, PickStuck}, s.Pick), "pick", s.Pick, "")
	k.need(within(s.MinAge, 0, maxDay), "min_age", s.MinAge, "")
	k.need(within(s.MinWorkers, 2, 1000), "min_workers", s.MinWorkers, "")
	k.argv("import_check", s.ImportCheck, false)
}

func (c *Config) purgeProblems(k *checks, s *Purge) {
	c.appNamed(k, s.App)
	if s.Redis != "" {
		k.out = append(k.out, c.redisNamed(schema.JoinPath(k.path, "redis"), s.Redis)...)
	}
	k.need(within(s.Grace, time.Minute, maxDay), "grace", s.Grace, "")
	k.need(s.MinIdle >= 0, "min_idle", s.MinIdle, "")
	required(k, "max_keys", s.MaxKeys, 0, 1, 1_000_000)
	k.fraction(s.MaxFraction)
}

func (c *Config) restartProblems(k *checks, s *RestartTask) {
	c.appNamed(k, s.App)
	if a := c.appOf(s.App); a != nil && s.Queue != "" {
		has := slices.ContainsFunc(a.Tasks, func(t Tasks) bool { return slices.Contains(t.Names(), s.Queue) })
		k.need(has, "queue", s.Queue, "the name of a queue of the app")
	}
	k.need(len(s.Queue) <= maxQueue && !schema.HasControl(s.Queue), "queue", s.Queue, "")
	k.need(len(s.Task) <= maxTask && !schema.HasControl(s.Task) && (s.Task == "" || s.Queue == ""), "task", s.Task, "")
	k.need(s.Idempotent, "idempotent", s.Idempotent, "")
	required(k, "min_stuck", s.MinStuck, 0, time.Second, maxDay)
}

// fraction adds a problem unless f is above 0 and at most 1.
func (k *checks) fraction(f float64) {
	if f == 0 {
		k.need(false, "max_fraction", nil, " (required)")
		return
	}
	k.need(isFraction(f), "max_fraction", f, "")
}

// users adds what is wrong with a list of users; a wildcard is.
func (k *checks) users(users []string) {
	k.need(len(users) <= maxUsers, "users", len(users), "at most 20 users")
	for i, u := range users {
		k.need(u != "" && len(u) <= 128 && !schema.HasControl(u) && !strings.ContainsAny(u, "*%"), fmt.Sprintf("users[%d]", i), u, ", without a wildcard")
	}
}

// argv adds what is wrong with a command line: its program must be an absolute path.
// required: an empty one is a problem too.
func (k *checks) argv(key string, argv []string, required bool) {
	if len(argv) == 0 {
		k.need(!required, key, nil, "")
		return
	}
	k.need(len(argv) <= maxArgv, key, fmt.Sprintf("%d arguments", len(argv)), "at most 64 arguments")
	k.need(schema.IsAbsolute(argv[0]) && path.Clean(argv[0]) == argv[0], key+"[0]", argv[0], "the absolute path of a program")
	for i, a := range argv {
		k.need(len(a) <= 4096 && !strings.Contains(a, "\x00"), fmt.Sprintf("%s[%d]", key, i), "too long", "at most 4096 bytes")
	}
}

func isHookURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.Opaque == ""
}
