package health

import (
	"cmp"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/health/locks"
)

// rule is the result of one rule for one subject at one evaluation.
type rule struct {
	Subject

	component string
	level     Level // by the limits
	release   Level // by limits lowered by the margin: a level is kept until this one is lower
	summary   string
	inhibited bool    // another alert reports the same fault
	advice    adviser // nil: there is none
}

// title returns the name of the subject's alert, e.g. "disk /var" or "app_down".
func (k Subject) title() string {
	if k.Of == "" {
		return k.Rule
	}
	return k.Rule + " " + k.Of
}

// ruleState is what is kept of one rule between evaluations.
type ruleState struct {
	level     Level // at the last evaluation
	component string
	since     time.Time // when it became unhealthy
	worst     Level     // since then
	last      time.Time // the last evaluation at which it was unhealthy
	summary   string    // of that evaluation
}

// next returns the state of a rule after one more evaluation. A worse level is
// taken at once and kept until the release level is lower. A rule that becomes
// unhealthy again after it was healthy has a new since.
func (h ruleState) next(r *rule, at time.Time) ruleState {
	level := max(r.level, min(h.level, r.release))
	if level > Healthy {
		if h.level == Healthy {
			h.since, h.worst = at, level
		}
		h.worst, h.last, h.summary = max(h.worst, level), at, cmp.Or(r.summary, h.summary)
	}
	h.level, h.component = level, r.component
	return h
}

// evaluator is one evaluation under way.
type evaluator struct {
	Input
	before, after State
	names         []string
	rules         []rule
	hints         []given                   // advice about what is healthy
	blockers      map[string]*locks.Blocker // by server; nil: none
	tableLocks    map[string]*locks.Blocker // the same
}

// add adds the result of a rule, unless its component is muted for the app.
func (e *evaluator) add(r rule) {
	if !slices.Contains(e.muted(r.App), r.component) {
		e.rules = append(e.rules, r)
	}
}

// muted returns the components of an app that are not to be judged; nil for the host.
func (e *evaluator) muted(app string) []string {
	if e.Muted == nil || app == "" {
		return nil
	}
	return e.Muted(app)
}

// limits returns the thresholds in force for an app, or with "" for the host.
func (e *evaluator) limits(app string) config.Thresholds {
	if e.Own == nil {
		return e.Limits
	}
	return e.Own(app)
}

// ownDisk reports whether an app is not judged by the host's limits for disks: it has
// limits of its own, or disks are muted; false for "".
func (e *evaluator) ownDisk(app string) bool {
	return app != "" && (e.limits(app).Disk != e.Limits.Disk || slices.Contains(e.muted(app), "disk"))
}
