package doctor

import (
	"context"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// IsFault reports whether doctor reports a lack as a fault.
func IsFault(cfg config.Config, collector string, u *collectors.Unavailable) bool {
	return (&doctor{Subject: Subject{Config: cfg}}).fault(collector, u)
}

// Instead returns the remedy for rights that are too strong, and the settings of the
// rules that act on the server.
func Instead(cfg config.Config, server string, rights []string, account string, mariadb bool) (way string, heals, bare bool) {
	k, heals := killTargetsOn(cfg, server)
	return k.procedureRemedy(rights, account, mariadb, "deploy/sql"), heals, k.bare
}

// Beyond returns the user id of a worker that this thread may not signal; nil for none.
func Beyond(a *discovery.App) *int {
	return (&doctor{Subject: Subject{Flags: Flags{ProcRoot: "/proc"}}, who: currentUser()}).beyondSignals(a)
}

// TaskRights returns what this thread lacks for the steps restart_task of a configuration,
// for the workers of queues.
func TaskRights(ctx context.Context, s Subject) []Finding {
	d := &doctor{Subject: s, who: currentUser(), state: &model.State{}, sections: make(map[string]*Section)}
	d.taskRights(ctx)
	return d.section("heal").Findings
}

// SQLDirectory returns the directory of the files with SQL.
func SQLDirectory(root string) string { return sqlDirectory(root) }
