package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/cgroup"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/diagnosis"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/callhttp"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/cleandisk"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/collectgarbage"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/escalate"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/killblockingtransaction"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/killleakedconnections"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/killlongqueries"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/purgesessions"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/recycleworker"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/restarttask"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/runcommand"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/scaleworkers"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/throttle"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/tracememory"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
	"github.com/resp-exporter/resp-exporter/internal/heal/followers"
	"github.com/resp-exporter/resp-exporter/internal/heal/workers"
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/redis/sessions"
)

// buildAction returns the action that a step of the configuration names. An unknown
// action is an error.
func (a *App) buildAction(s config.HealingStep) (action.Action, error) {
	if build, ok := a.actions()[s.Action]; ok {
		return build(s)
	}
	return nil, fmt.Errorf("unknown action %q", s.Action)
}

// actions returns a constructor for each action, by its name in the configuration, which
// builds it from the settings of a step. The constructors look up servers by name each
// time, because a reload may change them.
func (a *App) actions() map[string]func(config.HealingStep) (action.Action, error) {
	return map[string]func(config.HealingStep) (action.Action, error){
		config.ActionKillLeaked: func(s config.HealingStep) (action.Action, error) {
			d := killleakedconnections.Deps{Apps: a.configuredApps, Database: a.database, Holders: a.holdersOf}
			d.Victims = func(ctx context.Context) dbconn.Victims { return a.parties(ctx) }
			return killleakedconnections.New(d, *s.KillLeaked), nil
		},
		config.ActionKillBlocking: func(s config.HealingStep) (action.Action, error) {
			d := killblockingtransaction.Deps{Apps: a.configuredApps, Database: a.database, Holders: a.holdersOf}
			d.Victims = func(ctx context.Context) dbconn.Victims { return a.parties(ctx) }
			return killblockingtransaction.New(d, *s.KillBlocking), nil
		},
		config.ActionKillLong: func(s config.HealingStep) (action.Action, error) {
			d := killlongqueries.Deps{Database: a.database, Holders: a.holdersOf, Watched: a.isWatched}
			return killlongqueries.New(d, *s.KillLong), nil
		},
		config.ActionPurge: func(s config.HealingStep) (action.Action, error) {
			return purgesessions.New(purgesessions.Deps{Apps: a.configuredApps, Store: a.sessionStore}, *s.Purge), nil
		},
		config.ActionRecycle: func(s config.HealingStep) (action.Action, error) {
			d := recycleworker.Deps{Processes: a.watcher, Leaks: a.leaksOf, Memory: a.loses, Recycling: a.ends.Recycling, ProcRoot: a.o.ProcRoot}
			d.Victims = func(ctx context.Context) recycleworker.Victims { return a.parties(ctx) }
			return recycleworker.New(d, *s.Recycle), nil
		},
		config.ActionScale: func(s config.HealingStep) (action.Action, error) {
			d := scaleworkers.Deps{Processes: a.watcher, Groups: &cgroup.FS{ProcRoot: a.o.ProcRoot, SysRoot: a.o.SysRoot}, ProcRoot: a.o.ProcRoot}
			d.Victims = func(ctx context.Context) workers.Victims { return a.parties(ctx) }
			return scaleworkers.New(d, *s.Scale), nil
		},
		config.ActionCleanDisk: func(s config.HealingStep) (action.Action, error) {
			return cleandisk.New(cleandisk.Deps{ProcRoot: a.o.ProcRoot, RootFS: a.o.RootFS, StateDir: a.o.StateDir}, *s.CleanDisk), nil
		},
		config.ActionRestartTask: func(s config.HealingStep) (action.Action, error) {
			host, err := os.Hostname()
			if err != nil {
				return nil, fmt.Errorf("read the host name that RQ workers use: %w", err)
			}
			d := restarttask.Deps{Apps: a.configuredApps, Queues: a.taskQueues, Processes: a.watcher, ProcRoot: a.o.ProcRoot, Host: host, Followers: a.followers(), Control: a.control}
			return restarttask.New(d, *s.RestartTask), nil
		},
		config.ActionCollect: func(s config.HealingStep) (action.Action, error) {
			return collectgarbage.New(collectgarbage.Deps{Followers: a.followers(), Control: a.control}, *s.Collect), nil
		},
		config.ActionTrace: func(s config.HealingStep) (action.Action, error) {
			return tracememory.New(tracememory.Deps{Followers: a.followers(), Control: a.control, Processes: a.watcher, Leaks: a.loses}, *s.Trace), nil
		},
		config.ActionThrottle: func(s config.HealingStep) (action.Action, error) {
			d := throttle.Deps{Followers: a.followers(), Holder: a.heal.throttles}
			d.Condition = func(app, component string) (bool, error) { return unwell(a.health(), app, component, time.Now()) }
			return throttle.New(d, *s.Throttle), nil
		},
		config.ActionCallHTTP: func(s config.HealingStep) (action.Action, error) {
			return callhttp.New(callhttp.Deps{Condition: a.condition(s.CallHTTP.App, s.CallHTTP.Component)}, *s.CallHTTP), nil
		},
		config.ActionRunCommand: func(s config.HealingStep) (action.Action, error) {
			return runcommand.New(runcommand.Deps{Condition: a.condition(s.RunCommand.App, s.RunCommand.Component)}, *s.RunCommand), nil
		},
		config.ActionEscalate: func(config.HealingStep) (action.Action, error) {
			return escalate.New(a.heal.runner.NeedPerson), nil
		},
	}
}

// followers returns what finds the workers that follow the control file of their
// app.
func (a *parts) followers() followers.Finder {
	return followers.Finder{Processes: a.watcher, Reporter: a.inside, Check: a.control.Check}
}

// condition returns what reports whether a component of app, or if that is "" of the alert's app, is still
// unwell; an alert about another app than app is an error of it. It returns nil if the step names no component.
func (a *parts) condition(app, component string) action.Condition {
	if component == "" {
		return nil
	}
	return func(_ context.Context, alert action.Alert) (bool, error) {
		said := alert.Labels["app"]
		if app != "" && said != "" && said != app {
			return false, errors.New("the alert's label app differs from the rule")
		}
		return unwell(a.health(), cmp.Or(app, said), component, time.Now())
	}
}

// lookTooOld is when a judgement says nothing about now.
const lookTooOld = 4 * pageInterval

// unwell reports whether a component is not healthy, or an alert of it ended within the
// last two monitoring intervals of the judgement. app is "" for the host and the stores. A
// judgement that is too old, or without that component, is an error.
func unwell(j health.Evaluation, app, component string, now time.Time) (bool, error) {
	if now.Sub(j.At) > lookTooOld {
		return false, errors.New("the last health evaluation is too old")
	}
	for _, s := range append([]health.Status{j.Host}, j.Apps...) {
		if level, judged := s.Components[component]; judged && s.App == app {
			ended := func(r health.Recovery) bool { return r.Component == component }
			return level != health.Healthy || slices.ContainsFunc(s.Recovering, ended), nil
		}
	}
	return false, fmt.Errorf("component %s has no health level", component)
}

// database returns the MySQL server of that name, nil if it is not configured.
func (a *parts) database(name string) dbconn.Database {
	if s := a.mysql.server(name); s != nil {
		return dbconn.MySQL(s)
	}
	return nil
}

// sessionStore returns the sessions in a Redis, nil if it is not configured.
func (a *parts) sessionStore(name string) purgesessions.SessionStore {
	if s := a.redis.server(name); s != nil {
		return sessions.NewStore(s)
	}
	return nil
}

// taskQueues returns the queues in a Redis, nil if it is not configured.
func (a *parts) taskQueues(name string) restarttask.TaskQueues {
	if r := a.redis.readers()[name]; r != nil {
		return r
	}
	return nil
}

// parties reads all workers, pools and stores now, and returns who is a victim of a wait
// and who is to blame. What cannot be read is missing without an error.
func (a *App) parties(ctx context.Context) *diagnosis.Parties {
	s := a.set.Read(ctx, func(name string) bool { return slices.Contains([]string{"workers", "pool", "mysql", "redis"}, name) }).State
	s.Chains = diagnosis.Chains(&s, time.Now())
	return diagnosis.Victims(&s)
}

// loses returns the memory that a worker loses, in bytes a second. false: the worker is
// not suspected of a leak, or not known.
func (a *App) loses(app string, slot, pid int) (float64, bool) {
	f, ok := a.memoryLeaks.Of(app, slot, pid)
	return f.Slope, ok && f.Leak
}

// leaksOf reads the pools now and returns how many connections each worker of an app has leaked,
// by slot, without those that have leaked none. An error: no pool of the app is among those read.
func (a *App) leaksOf(ctx context.Context, app string) (map[int]int, error) {
	s := a.set.Read(ctx, func(name string) bool { return name == "pool" }).State
	out, known := make(map[int]int), false
	for i := range s.Pools {
		if s.Pools[i].App != app {
			continue
		}
		known = true
		for _, w := range s.Pools[i].Workers {
			if slot, err := strconv.Atoi(w.Slot); err == nil && w.Leaked > 0 {
				out[slot] += int(w.Leaked)
			}
		}
	}
	if !known {
		return nil, fmt.Errorf("no pool of app %s is configured, or none can be read", app)
	}
	return out, nil
}
