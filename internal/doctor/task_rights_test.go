package doctor_test

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/doctor"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/redistest"
)

// queueStep returns a configuration with a queue of an app, whose workers run as a user,
// and a step that may restart one of them.
func queueStep(user string, step config.RestartTask) config.Config {
	cfg := config.Default()
	cfg.Apps = []config.App{{Name: "shop", Tasks: []config.Tasks{{Type: config.RQ, Redis: "cache", Queues: []string{"mail"}, User: user}}}}
	cfg.Redis = []config.Redis{{Name: "cache", URL: "redis://u@127.0.0.1:6379/0"}}
	s := config.NewHealingStep(config.ActionRestartTask)
	*s.RestartTask = step
	cfg.Healing.Mode, cfg.Healing.Rules = config.HealEnforce, []config.HealingRule{{Name: "stuck", Steps: []config.HealingStep{s}}}
	return cfg
}

// The workers of a queue whose user is another one cannot be restarted without
// capabilities, which are named; a user that does not exist is one of no worker.
func TestTaskRights(t *testing.T) {
	t.Parallel()
	permission, gone := finding{"app:shop", collectors.Permission, true}, finding{"app:shop", collectors.NotFound, true}
	all := config.RestartTask{}
	for name, c := range map[string]struct {
		user string
		step config.RestartTask
		caps bool
		want []finding
	}{
		"another user":             {"65534", all, false, []finding{permission}},
		"beside a task inside":     {"65534", all, false, []finding{{"app:shop", collectors.Permission, false}}},
		"a queue, beside a task":   {"65534", config.RestartTask{Queue: "mail"}, false, []finding{permission}},
		"with capabilities":        {"65534", all, true, nil},
		"the queue is named":       {"65534", config.RestartTask{App: "shop", Queue: "mail"}, false, []finding{permission}},
		"another queue":            {"65534", config.RestartTask{App: "shop", Queue: "sms"}, false, nil},
		"another app":              {"65534", config.RestartTask{App: "blog"}, false, nil},
		"a task inside":            {"65534", config.RestartTask{Task: "clean"}, false, nil},
		"its own user":             {"0", all, false, nil},
		"no such user":             {"nobody-has-this-name", all, true, []finding{gone}},
		"the app's, none is found": {"", all, false, []finding{{"app:shop", collectors.NotFound, false}}},
	} {
		got := make(chan []doctor.Finding)
		go func() {
			if !c.caps {
				runtime.LockOSThread() // and never unlocked: it has no capability any more
				header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
				var none [2]unix.CapUserData
				if err := unix.Capset(&header, &none[0]); err != nil {
					t.Error(err)
				}
			}
			s := doctor.Subject{Config: queueStep(c.user, c.step), Redis: func(string) *redis.Server { return nil }}
			if strings.Contains(name, "beside") {
				s.Inside = func(string) []appside.Report {
					return []appside.Report{{State: appside.State{Tasks: []appside.Task{{Name: "clean"}}}}}
				}
			}
			got <- doctor.TaskRights(context.Background(), s)
		}()
		list := <-got
		if have := codes(doctor.Section{Findings: list}); !slices.Equal(have, c.want) {
			t.Errorf("%s: %+v, want %+v", name, have, c.want)
		}
		for _, f := range list {
			if f.Reason == collectors.Permission && (len(f.Remedy) != 1 || !strings.Contains(f.Remedy[0], "CAP_KILL CAP_SYS_PTRACE CAP_DAC_READ_SEARCH")) {
				t.Errorf("%s: %q", name, f.Remedy)
			}
		}
	}
}

// A user that may not list connections is a note, with the command that grants it.
func TestTaskListsClients(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	for _, may := range []bool{false, true} {
		rules := redis.Rights{RQ: true, Clients: may}.Rules(false)
		err := server.Open().WithKeys(t.Context(), func(ctx context.Context, l *redis.Link) error {
			args := []any{"acl", "setuser", "u", "reset", "on", ">p"}
			for _, r := range rules {
				args = append(args, r)
			}
			return l.Client().Do(ctx, args...).Err()
		})
		if err != nil {
			t.Fatal(err)
		}
		client := server.OpenAs("u", "p")
		list := doctor.TaskRights(t.Context(), doctor.Subject{Config: queueStep("0", config.RestartTask{}), Redis: func(string) *redis.Server { return client }})
		switch {
		case may && len(list) != 0:
			t.Errorf("%+v", list)
		case !may && (len(list) != 1 || list[0].Of != "redis:cache" || list[0].Reason != collectors.Permission || list[0].Fault || !strings.Contains(strings.Join(list[0].Remedy, ""), "'+client|list'")):
			t.Errorf("%+v", list)
		}
	}
}
