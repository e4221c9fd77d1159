package web

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis"
	"github.com/resp-exporter/resp-exporter/internal/diagnosis/cause"
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/web/display"
)

// verdict is the sentence at the top of the page.
type verdict struct {
	Level    display.Level
	Sentence string
	Key      string   // changes with the verdict, not with its numbers
	Ended    []string // alerts that ended lately, with their time
	Person   []string // why healing needs a person; empty: it does not
	Apps     []appLink
	MoreApps int
	Note     string // on what the reader asked for
}

type finding struct {
	level          display.Level
	key, phrase    string
	app, component string
}

const (
	emptyText = "No app found on this host yet: start gunicorn, or name the app in the section apps of the configuration"
	maxAge    = 2 * time.Minute // of the last gather, before a warning says that it is old
	maxAlso   = 2               // findings shown beside the worst
	maxEnded  = 3               // ended findings shown below it
)

// verdict returns the verdict on all apps by the last evaluation, with at most maxEnded of
// the alerts that ended lately and the number of the others. It is pure.
func (s *pageState) verdict(now time.Time) verdict {
	v := s.current(now)
	v.Apps, v.MoreApps = s.sickApps()
	ended := s.health.Recovering()
	for _, e := range ended[:min(len(ended), maxEnded)] {
		v.Ended = append(v.Ended, fmt.Sprintf("%s, ended %s ago", inPast(e.Summary), health.FormatSeconds(max(0, now.Sub(e.Ended).Seconds()))))
	}
	if more := len(ended) - maxEnded; more > 0 {
		v.Ended = append(v.Ended, fmt.Sprintf("and %d more", more))
	}
	return v
}

// inPast returns a summary in the past tense; as it is if it has none of the verbs. It
// replaces the first verb: names have no spaces, so they are not taken for one.
func inPast(summary string) string {
	at, then := len(summary), [2]string{}
	for _, verb := range [][2]string{
		{" is ", " was "}, {" are ", " were "}, {" has ", " had "}, {" does not ", " did not "}, {" cannot ", " could not "},
		{" uses ", " used "}, {" takes ", " took "}, {" runs, but its state is ", " ran, but its state was "}, {" accepts ", " accepted "},
		{" fail ", " failed "}, {" find ", " found "}, {" wait ", " waited "}, {" waits ", " waited "}, {" never expire", " never expired"},
	} {
		if i := strings.Index(summary, verb[0]); i >= 0 && i < at {
			at, then = i, verb
		}
	}
	return summary[:at] + then[1] + strings.TrimPrefix(summary[at:], then[0])
}

// current returns the verdict without the alerts that have ended. Its level is unknown
// before the first gather, and without an app and a finding. That the last gather is older
// than maxAge is a warning.
func (s *pageState) current(now time.Time) verdict {
	if s.At.IsZero() {
		return verdict{Level: display.LevelUnknown, Sentence: "The first check of this host has not finished yet", Key: "first"}
	}
	var found []finding
	if age := now.Sub(s.At); age > maxAge {
		found = append(found, finding{level: display.LevelWarning, key: "stale",
			phrase: "the last check is " + health.FormatSeconds(age.Seconds()) + " old: the page may be outdated"})
	}
	for _, f := range s.health.Findings() {
		found = append(found, finding{display.LevelOf(f.Severity), f.App + " " + f.Name, f.Summary, f.App, f.Component})
	}
	slices.SortStableFunc(found, func(a, b finding) int { return cmp.Compare(b.level, a.level) })
	if len(found) > 0 {
		return worst(s.explained(found))
	}
	switch len(s.Apps) {
	case 0:
		return verdict{Level: display.LevelUnknown, Sentence: emptyText, Key: "empty"}
	case 1:
		return healthyApp(&s.Apps[0])
	default:
		return healthyApps(s.Apps)
	}
}

// explained returns the findings, in which what holds up an app (its cause, else its
// first chain) replaces what the app's workers do for it: the finding of the workers,
// else the first one of the app.
func (s *pageState) explained(found []finding) []finding {
	for _, x := range slices.Backward(s.explanations()) { // so that the first one comes first
		at := slices.IndexFunc(found, func(f finding) bool { return f.app == x.app && f.component == "workers" })
		if at < 0 {
			at = slices.IndexFunc(found, func(f finding) bool { return f.app == x.app })
		}
		if at < 0 {
			continue
		}
		f := found[at]
		f.phrase = strings.TrimSuffix(x.sentence, ".")
		f.key += x.key
		// Before the others of its level and before long statements, which come from it.
		found = slices.Delete(found, at, at+1)
		first := slices.IndexFunc(found, func(y finding) bool {
			return y.level <= f.level || strings.HasPrefix(y.key, " query_time ") && x.mysql
		})
		if first < 0 {
			first = len(found)
		}
		found = slices.Insert(found, first, f)
	}
	return found
}

// explanation is what holds up one app.
type explanation struct {
	app, sentence, key string
	mysql              bool // a party of it waits for a MySQL server
}

// explanations returns what holds up each app, once an app: the cause if there is one,
// else its first chain.
func (s *pageState) explanations() (out []explanation) {
	has := func(app string) bool {
		return slices.ContainsFunc(out, func(x explanation) bool { return x.app == app })
	}
	for i := range s.state.Chains {
		c := &s.state.Chains[i]
		if has(c.App) {
			continue
		}
		x := explanation{c.App, diagnosis.Sentence(c, c.App), " chain " + c.Kind, waitsInMySQL(c)}
		if b := s.causeOf(c.App); b != nil {
			x.sentence, x.key = cause.Sentence(b), " cause "+string(b.Cause)
		}
		out = append(out, x)
	}
	for i := range s.state.Bottlenecks {
		if b := &s.state.Bottlenecks[i]; b.Cause != "" && !has(b.App) {
			out = append(out, explanation{b.App, cause.Sentence(b), " cause " + string(b.Cause), strings.HasPrefix(string(b.Cause), "db_")})
		}
	}
	return out
}

// waitsInMySQL reports whether a victim or party of a chain waits for a MySQL server.
func waitsInMySQL(c *model.Chain) bool {
	waits := func(l model.Link) bool { return l.On == "mysql" }
	return c.On == "mysql" || slices.ContainsFunc(c.Victims, waits) || slices.ContainsFunc(c.Links, waits)
}

// worst returns the verdict of findings, at least one: the highest level, the first phrase,
// at most maxAlso more, only of one sentence, and the number of the others.
func worst(found []finding) verdict {
	v := verdict{Level: found[0].level, Sentence: found[0].phrase}
	keys := make([]string, len(found))
	also := 0
	for i, f := range found {
		v.Level = max(v.Level, f.level)
		keys[i] = fmt.Sprint(f.level, " ", f.key)
		if i > 0 && also < maxAlso && !strings.Contains(f.phrase, ". ") { // one chain is enough to read
			v.Sentence += "; " + f.phrase
			also++
		}
	}
	if more := len(found) - 1 - also; more > 0 {
		v.Sentence += fmt.Sprintf("; and %d more", more)
	}
	v.Key = strings.Join(keys, ", ")
	return v
}

// stateRank returns the rank of a worker's state: a worse state has a higher one; -1 for a
// word that is none. A state that is not known ("") ranks between idle and booting.
func stateRank(state string) int {
	return slices.Index([]string{"idle", "", "booting", "busy", "stuck"}, state)
}

// compareByState orders two workers, as [slices.SortFunc] expects it: the worse state
// first, then the longer time in it, then the slot.
func compareByState(a, b worker) int {
	seconds := func(w worker) float64 {
		if w.Seconds == nil {
			return 0
		}
		return *w.Seconds
	}
	return cmp.Or(cmp.Compare(stateRank(b.State), stateRank(a.State)), cmp.Compare(seconds(b), seconds(a)), health.CompareSlots(a.Slot, b.Slot))
}

// levelAt returns the level of a value by the limits of a resource in force for an app, or
// with "" for the host, of which high values are bad; LevelUnknown if v is nil, else
// LevelHealthy without limits.
func (s *pageState) levelAt(app, resource string, v *float64) display.Level {
	if v == nil {
		return display.LevelUnknown
	}
	switch t := s.limits[limitKey{app, resource}]; {
	case t.critical != nil && *v >= *t.critical:
		return display.LevelCritical
	case t.warning != nil && *v >= *t.warning:
		return display.LevelWarning
	default:
		return display.LevelHealthy
	}
}

// healthyApp returns the verdict on an app without a finding: healthy, or unknown if
// nothing is known of it.
func healthyApp(a *app) verdict {
	parts := healthyParts(a)
	if len(parts) == 0 && !a.Known {
		return verdict{Level: display.LevelUnknown, Sentence: "The state of " + a.Name + " is not known yet", Key: a.Name + " unknown"}
	}
	v := verdict{Level: display.LevelHealthy, Sentence: a.Name + " answers", Key: a.Name + " healthy"}
	if a.Requests.Rate == nil {
		v.Sentence = a.Name + " runs" // no request is reported
	}
	if len(parts) > 0 {
		v.Sentence += ": " + strings.Join(parts, ", ")
	}
	return v
}

// healthyParts returns what is known of a healthy app: its busy workers, its queue, its
// requests and their p95.
func healthyParts(a *app) []string {
	var parts []string
	if total := a.total(); total > 0 && (a.counts != nil || a.in("busy")+a.in("idle") > 0) {
		parts = append(parts, ofWorkers(a.in("busy"), total)+" busy")
	}
	if a.Queue != nil {
		parts = append(parts, "queue "+queueText(a))
	}
	if a.Requests.Rate != nil {
		parts = append(parts, strings.Replace(health.FormatRate(*a.Requests.Rate), "/s", " requests/s", 1))
	}
	if a.Requests.P95 != nil {
		parts = append(parts, "p95 "+health.FormatSeconds(*a.Requests.P95))
	}
	return parts
}

// healthyApps returns the verdict on several apps without a finding, with their sums. It
// names four at most, or three and how many more.
func healthyApps(apps []app) verdict {
	var busy, total float64
	var rate *float64
	for i := range apps {
		busy, total, rate = busy+apps[i].in("busy"), total+apps[i].total(), plus(rate, apps[i].Requests.Rate)
	}
	sum := app{Requests: model.AppRequests{Rate: rate}}
	parts := append([]string{ofWorkers(busy, total) + " busy"}, healthyParts(&sum)...)
	names := make([]string, 0, 4)
	for i := range apps {
		if i == 3 && len(apps) > 4 {
			names = append(names, fmt.Sprintf("%d more", len(apps)-3))
			break
		}
		names = append(names, apps[i].Name)
	}
	last := len(names) - 1
	sentence := strings.Join(names[:last], ", ") + " and " + names[last] + " run: " + strings.Join(parts, ", ")
	return verdict{Level: display.LevelHealthy, Sentence: sentence, Key: "healthy " + strconv.Itoa(len(apps))}
}

// ofWorkers returns "n of total workers".
func ofWorkers(n, total float64) string {
	if total == 1 {
		return health.FormatCount(n) + " of 1 worker"
	}
	return health.FormatCount(n) + " of " + health.FormatCount(total) + " workers"
}

// queueText returns the length of the app's queue, which is known, with its limit if that
// is.
func queueText(a *app) string {
	if a.QueueLimit == nil {
		return health.FormatCount(*a.Queue)
	}
	return health.FormatCount(*a.Queue) + " of " + health.FormatCount(*a.QueueLimit)
}
