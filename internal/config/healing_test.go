package config_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
)

// fullHealing is the section healing of testdata/valid-full.yml.
func fullHealing() config.Healing {
	step := func(action string, change func(*config.HealingStep)) config.HealingStep {
		s := config.HealingStep{Action: action, Timeout: 30 * time.Second, VerifyWithin: time.Minute}
		if action == config.ActionRecycle {
			s.Timeout = time.Minute
		}
		change(&s)
		return s
	}
	return config.Healing{
		Mode: config.HealEnforce, TokenFile: "/etc/resp-exporter/webhook-token",
		Identity: config.Identity{Label: "instance", Value: "web-1:9868"}, Coordination: config.Coordination{Redis: "cache"}, Relay: config.Relay{Redis: "cache"}, QueueSize: 10,
		Budgets: config.Budgets{MaxRuns: 5, Per: 30 * time.Minute, MaxConcurrent: 2, FleetMaxFraction: 0.5, StormExit: 10 * time.Minute},
		Breaker: config.Breaker{Failures: 2, Window: 2 * time.Hour, Hold: 10 * time.Minute},
		Rules: []config.HealingRule{
			{Name: "leaked-connections", Match: map[string]string{"alertname": "RespPoolLeak", "app": "~shop|blog"}, Cooldown: 10 * time.Minute, Steps: []config.HealingStep{
				{Action: "kill_leaked_connections", Timeout: 20 * time.Second, VerifyWithin: 2 * time.Minute, Approve: true, KillLeaked: &config.KillLeaked{
					App: "shop", Pool: "main", MinIdle: 90 * time.Second, MaxVictims: 20, MaxFraction: 0.5, Users: []string{"shop"}, Procedure: "resp_heal.end_idle",
				}},
				step("recycle_worker", func(s *config.HealingStep) {
					s.Recycle = &config.Recycle{App: "shop", Pick: config.PickLeaked, MinWorkers: 3, ImportCheck: []string{"/usr/bin/python3", "-c", "import shop"}}
				}),
				{Action: "escalate"},
			}},
			{Name: "the-rest", Match: map[string]string{"alertname": "~.+"}, Cooldown: 5 * time.Minute, Steps: []config.HealingStep{
				step("kill_leaked_connections", func(s *config.HealingStep) {
					s.KillLeaked = &config.KillLeaked{MinIdle: time.Minute, MaxVictims: 1, MaxFraction: 1, MaxTrxRows: 10000}
				}),
				step("kill_long_queries", func(s *config.HealingStep) {
					s.KillLong = &config.KillLong{MySQL: "main", Users: []string{"shop"}, MinTime: 30 * time.Second, MaxVictims: 5, Procedure: "a.b"}
				}),
				step("purge_sessions", func(s *config.HealingStep) {
					s.Purge = &config.Purge{App: "shop", Redis: "cache", Grace: 2 * time.Hour, MinIdle: 3 * time.Hour, MaxKeys: 1000, MaxFraction: 0.25, Remove: true}
				}),
				step("restart_task", func(s *config.HealingStep) {
					s.RestartTask = &config.RestartTask{App: "shop", Queue: "default", Idempotent: true, MinStuck: 10 * time.Minute}
				}),
				step("call_http", func(s *config.HealingStep) {
					s.CallHTTP = &config.CallHTTP{URL: "https://hooks.example.org/heal?x=1", TokenFile: "/etc/resp-exporter/hook"}
				}),
			}},
			{Name: "host", Match: map[string]string{"alertname": "Y"}, Cooldown: 5 * time.Minute, Steps: []config.HealingStep{
				step("scale_workers", func(s *config.HealingStep) {
					s.Scale = &config.Scale{App: "shop", MaxWorkers: 8, MinFree: 0.2, Hold: time.Hour, ImportCheck: []string{"/bin/true"}}
				}),
				step("trace_memory", func(s *config.HealingStep) {
					s.Trace = &config.Trace{App: "shop", Duration: 20 * time.Second, MinWorkers: 3}
				}),
				step("clean_disk", func(s *config.HealingStep) {
					s.CleanDisk = &config.CleanDisk{
						Directories: []string{"/var/log/shop"}, Patterns: []string{"*.log.*"}, Owner: "shop", MinAge: 24 * time.Hour, KeepNewest: 3, MaxFiles: 50, MaxBytes: 1 << 30, MaxFraction: 0.5, MinUsed: 0.9,
					}
				}),
			}},
			{Name: "script", Match: map[string]string{"alertname": "X"}, Cooldown: 5 * time.Minute, Steps: []config.HealingStep{
				step("kill_blocking_transaction", func(s *config.HealingStep) {
					s.KillBlocking = &config.KillBlocking{App: "shop", Pool: "main", MinIdle: 20 * time.Second, MinBlocked: 3, MaxVictims: 2, Users: []string{"shop"}, Procedure: "a.b"}
				}),
				step("kill_blocking_transaction", func(s *config.HealingStep) {
					s.KillBlocking = &config.KillBlocking{MinIdle: time.Minute, MinBlocked: 1, MaxVictims: 1, MaxTrxRows: 10}
				}),
				step("collect_garbage", func(s *config.HealingStep) {
					s.Collect = &config.Collect{App: "shop", Stagger: 5 * time.Second, MinFreed: 0.1}
				}),
				step("throttle", func(s *config.HealingStep) {
					s.Throttle = &config.Throttle{App: "shop", Percent: 40, Component: "memory", TTL: 30 * time.Second, Ramp: 10 * time.Second, MaxTime: 10 * time.Minute}
				}),
				step("run_command", func(s *config.HealingStep) {
					s.RunCommand = &config.RunCommand{Argv: []string{"/usr/local/bin/heal", "--now"}, App: "shop", Component: "disk"}
					s.VerifyWithin = 4 * time.Minute
				}),
			}},
		},
	}
}

// The environment variable can switch healing off only, never on.
func TestCleanupEnabled(t *testing.T) {
	for _, c := range []struct{ mode, env, want string }{
		{"dry_run", "false", "off"},
		{"enforce", "false", "off"},
		{"off", "true", "off"},
		{"dry_run", "true", "dry_run"},
		{"enforce", "true", "enforce"},
	} {
		got, err := config.Load(strings.NewReader("healing: {mode: "+c.mode+", token_file: /t}"), "f.yml", []string{"RESPONSIVENESS_CLEANUP_ENABLED=" + c.env})
		if err != nil || got.Healing.Mode != c.want {
			t.Errorf("%s and %s give %q, %v", c.mode, c.env, got.Healing.Mode, err)
		}
	}
}

func TestMatchValue(t *testing.T) {
	for _, c := range []struct {
		want, value string
		ok          bool
	}{
		{"RespPoolLeak", "RespPoolLeak", true},
		{"RespPoolLeak", "RespPoolLeaks", false},
		{"a.c", "abc", false},
		{"~a.c", "abc", true},
		{"~a|b", "ab", false}, // all of the value, not a part
		{"~a|b", "b", true},
		{"~", "", true},
	} {
		match, err := config.MatchValue(c.want)
		if err != nil || match(c.value) != c.ok {
			t.Errorf("%q and %q: %v, %v", c.want, c.value, !c.ok, err)
		}
	}
	if _, err := config.MatchValue("~("); err == nil {
		t.Error("a broken expression is taken")
	}
}

// Each action except escalate has a field with its settings in the step, and the tag of
// the field Action has all actions.
func TestEachActionHasSettings(t *testing.T) {
	step := reflect.TypeFor[config.HealingStep]()
	fields := 0
	for f := range step.Fields() {
		if f.Type.Kind() == reflect.Pointer {
			fields++
		}
	}
	names := config.ActionNames()
	if fields != len(names)-1 {
		t.Errorf("HealingStep has %d fields of settings, want %d: one for each action but escalate", fields, len(names)-1)
	}
	used := map[string]string{}
	for _, name := range names {
		var set []string
		v := reflect.ValueOf(config.NewHealingStep(name))
		for f, value := range v.Fields() {
			if value.Kind() == reflect.Pointer && !value.IsNil() {
				set = append(set, f.Name)
			}
		}
		if name == config.ActionEscalate {
			if len(set) > 0 {
				t.Errorf("a step of %s has the settings %q", name, set)
			}
			continue
		}
		if len(set) != 1 {
			t.Errorf("a step of %s has the settings %q, want one", name, set)
			continue
		}
		if other, ok := used[set[0]]; ok {
			t.Errorf("%s and %s have the same settings %s", name, other, set[0])
		}
		used[set[0]] = name
	}
	action, _ := step.FieldByName("Action")
	if got, want := action.Tag.Get("want"), "one of "+strings.Join(names, ", "); got != want {
		t.Errorf("the tag of HealingStep.Action says %q, want %q", got, want)
	}
}

// The full configuration has a step of each action, so that each is checked.
func TestFullHasEachAction(t *testing.T) {
	used := map[string]bool{}
	for _, rule := range fullHealing().Rules {
		for _, step := range rule.Steps {
			used[step.Action] = true
		}
	}
	for _, name := range config.ActionNames() {
		if !used[name] {
			t.Errorf("testdata/valid-full.yml and fullHealing have no step of %s", name)
		}
	}
}
