package health

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis"
	"github.com/resp-exporter/resp-exporter/internal/health/measures"
	"github.com/resp-exporter/resp-exporter/internal/health/words"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// causes returns advice about what stuck workers wait for and, unless stuckOnly, those that
// have been busy for long; one that is about several workers may be in it once for each.
func (e *evaluator) causes(w *appWorkers, stuckOnly bool) []advice {
	i := map[bool]int{true: 1}[stuckOnly]
	if w.causes[i] == nil {
		w.causes[i] = append([]advice{}, e.findCauses(w, stuckOnly)...)
	}
	return w.causes[i]
}

// findCauses returns advice about what the workers wait for, or run; about a cause outside of them once a worker.
func (e *evaluator) findCauses(w *appWorkers, stuckOnly bool) []advice {
	var out []advice
	var groups [][]worker
	list := w.longest("stuck")
	if !stuckOnly {
		list = append(list, slices.DeleteFunc(w.longest("busy"), func(x worker) bool {
			return (x.Seconds < busyLong || !x.waitsForOthers()) && diagnosis.OfWorker(e.State.Chains, w.app, x.Slot) == nil
		})...)
	}
	running := make(map[string][]*model.Query) // by server
	for _, x := range list {
		if a, q := e.rootOf(w, &x); q != nil {
			running[q.Server] = append(running[q.Server], q)
			continue
		} else if a.line != "" {
			out = append(out, a)
			continue
		}
		i := slices.IndexFunc(groups, func(g []worker) bool { return sameWait(&g[0], &x) })
		if i < 0 {
			groups = append(groups, []worker{x})
			continue
		}
		groups[i] = append(groups[i], x)
	}
	for _, server := range slices.Sorted(maps.Keys(running)) {
		out = append(out, queryAdvice(running[server]))
	}
	for _, g := range groups {
		if a := w.groupAdvice(g); a.line != "" {
			out = append(out, a)
		}
	}
	return out
}

// causeKnown reports whether there is advice about a stuck or long busy worker, also about a stuck one of unknown wait.
func (e *evaluator) causeKnown(w *appWorkers) bool {
	return slices.ContainsFunc(e.causes(w, false), func(a advice) bool { return a.line != "" })
}

// waitsForOthers reports whether a worker waits for MySQL, Redis, another server, its client or the disk.
func (x *worker) waitsForOthers() bool {
	return x.Wait != nil && slices.Contains([]string{"mysql", "redis", "upstream", "client", "disk"}, x.Wait.On)
}

// sameWait reports whether two workers have one wait, or none known and one state and detail; false for "other".
func sameWait(x, y *worker) bool {
	switch {
	case x.Wait == nil || y.Wait == nil:
		return x.Wait == y.Wait && x.State == y.State && x.Detail == y.Detail
	case x.Wait.On == "other":
		return false
	}
	return x.Wait.On == y.Wait.On && x.Wait.Peer == y.Wait.Peer
}

// rootOf returns the advice about the cause outside of a worker for which it waits, or
// the statement that it runs. An advice without a line and nil: neither is known.
func (e *evaluator) rootOf(w *appWorkers, x *worker) (advice, *model.Query) {
	if c := diagnosis.OfWorker(e.State.Chains, w.app, x.Slot); c != nil {
		return e.chainAdvice(c, w.app), nil
	}
	if x.Wait == nil {
		return advice{}, nil
	}
	kind, name, ok := storeOf(x.Wait)
	if !ok {
		return advice{}, nil
	}
	if e.isDown(kind, name) {
		word := map[string]string{"mysql": "MySQL", "redis": "Redis"}[kind]
		return e.adviseStore(kind, word, name)(e.unhealthyFor(Subject{Rule: kind, Of: name}))[0], nil
	}
	if kind != "mysql" {
		return advice{}, nil
	}
	if b := e.blocker(name); b.HoldsUp(w.app, x.Slot) {
		return blockerAdvice(b, e), nil
	}
	if b := e.tableLock(name); b.HoldsUp(w.app, x.Slot) {
		return tableAdvice(b), nil
	}
	return advice{}, measures.QueryOf(e.State, name, w.app, x.Slot)
}

// unhealthyFor returns for how long a subject has been unhealthy until now; 0 if it was healthy before or is new.
func (e *evaluator) unhealthyFor(k Subject) time.Duration {
	h := e.before.rules[k]
	if h.level == Healthy {
		return 0
	}
	return e.At.Sub(h.since)
}

// groupAdvice returns advice about workers of one wait; no line if it is unknown and they are busy.
func (w *appWorkers) groupAdvice(g []worker) advice {
	first := &g[0]
	if first.Wait == nil || first.Wait.On == "other" {
		return w.unknownAdvice(g)
	}
	who := workersNamed(g, w.app)
	lasts := " for " + FormatSeconds(first.Seconds)
	if len(g) > 1 {
		lasts = ", the longest" + lasts
	}
	a := advice{rankCause, w.app + "/" + first.Wait.On + "/" + first.Wait.Peer, who + " " + words.Wait(first.Wait, len(g) == 1) + lasts}
	switch first.Wait.On {
	case "upstream":
		if strings.HasPrefix(first.Wait.Peer, "app:") {
			a.rank = rankSymptom
			a.line += ": check that app; ending these workers does not help."
			return a
		}
		a.line += ": find out why it is slow, and give the call a timeout" + w.giveUp(g, "; ") + "."
	case "mysql":
		a.line += ": SHOW FULL PROCESSLIST shows its statement."
	case "redis":
		a.line += w.blockedClients(first) + w.giveUp(g, "; ") + "."
	case "client":
		a.line += ": put a buffering proxy such as nginx in front of the app."
	case "disk":
		a.line += ": check the host's disks."
	case "cpu":
		if first.cores != nil && *first.cores >= halfCore {
			a.line += " with " + FormatPercent(*first.cores) + " of a core"
		}
		a.line += ", in one request" + w.giveUp(g, ": ") + "."
	case "lock":
		a.line += ": all its threads are blocked" + w.giveUp(g, ". ") + "."
	case "child":
		a.line += ": ps --ppid " + pidText(first.PID) + " shows it."
	default:
		a.line += " in a request" + w.giveUp(g, ": ") + "."
	}
	return a
}

// unknownAdvice returns the advice about stuck workers whose wait is not known; without a
// line if the first of g, which is not empty, is not stuck.
func (w *appWorkers) unknownAdvice(g []worker) advice {
	first := &g[0]
	if first.State != "stuck" {
		return advice{}
	}
	one := len(g) == 1
	lasts := "has been stuck for " + FormatSeconds(first.Seconds) + detailText(first.Detail)
	if !one {
		lasts = "have been stuck, the longest for " + FormatSeconds(first.Seconds)
		if first.Detail != "" {
			lasts += " (" + first.Detail + ")"
		}
	}
	end := "restart " + words.Choose(one, "it", "them")
	if kill, _ := w.endAll(g); kill != "" {
		end = "end " + words.Choose(one, "it", "them") + " with " + kill + "; gunicorn starts " + words.Choose(one, "a replacement", "replacements")
	}
	line := fmt.Sprintf("%s %s: find out what %s for, or %s.", workersNamed(g, w.app), lasts, words.Choose(one, "it waits", "they wait"), end)
	return advice{rankCause, w.app + "/worker:" + first.Slot, line}
}

// halfCore is how much of a core a worker must have used over the last minute to be mentioned.
const halfCore = 0.5

// blockedClients returns the end of a sentence on what a worker waits for in Redis: blocked clients, else SLOWLOG.
func (w *appWorkers) blockedClients(x *worker) string {
	if n := w.blocked[x.Wait.Peer]; n > 0 {
		has := words.Choose(n == 1, "client waits", "clients wait")
		return fmt.Sprintf(": %s %s in a blocking command: CLIENT LIST marks them with flags=b, CLIENT UNBLOCK with an id releases one", FormatCount(n), has)
	}
	return ": SLOWLOG GET lists the slow commands"
}

// giveUp returns the end of a sentence with the command that aborts the requests of a group
// of stuck workers; "" if the first is not stuck or cannot be ended.
func (w *appWorkers) giveUp(g []worker, joint string) string {
	kill, slots := w.endAll(g)
	if kill == "" || g[0].State != "stuck" {
		return ""
	}
	return joint + kill + " aborts the " + words.Choose(len(slots) == 1, "request of worker ", "requests of workers ") + text.Enumerate(slots)
}

// endAll returns the command that ends the first worker of a group and the other stuck ones with a
// known pid, of the first maxNamed, and their slots; "" if the first one cannot be ended.
func (w *appWorkers) endAll(g []worker) (kill string, slots []string) {
	kill = w.end(&g[0])
	if kill == "" {
		return "", nil
	}
	slots = []string{g[0].Slot}
	for i := 1; i < min(len(g), maxNamed); i++ {
		if g[i].PID != 0 && g[i].State == "stuck" {
			kill, slots = kill+" "+pidText(g[i].PID), append(slots, g[i].Slot)
		}
	}
	return kill, slots
}

// end returns the command that ends a worker; "" if its pid is not known or its server is not gunicorn,
// which replaces it. A worker whose threads wait for a lock gets SIGKILL, as it does not handle SIGQUIT.
func (w *appWorkers) end(x *worker) string {
	switch {
	case w.process == nil || w.process.Server != "gunicorn" || x.PID == 0:
		return ""
	case x.Wait != nil && x.Wait.On == "lock":
		return "kill -KILL " + pidText(x.PID)
	}
	return "kill -QUIT " + pidText(x.PID)
}

// workersNamed returns at most maxNamed workers of an app, and how many more, to begin a sentence.
func workersNamed(g []worker, app string) string {
	if len(g) == 1 {
		return g[0].name("Worker") + " of " + app
	}
	var names []string
	for i := range g {
		if i == maxNamed {
			names = append(names, fmt.Sprintf("%d more", len(g)-maxNamed))
			break
		}
		names = append(names, strings.TrimPrefix(g[i].name(""), " "))
	}
	return "Workers " + text.Enumerate(names) + " of " + app
}
