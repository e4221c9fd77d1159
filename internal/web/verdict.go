package web

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// level is how bad a finding is.
type level int

const (
	levelUnknown level = iota
	levelHealthy
	levelWarning
	levelCritical
)

func (l level) String() string { return [...]string{"unknown", "healthy", "warning", "critical"}[l] }

// verdict is one sentence about all that is known now.
type verdict struct {
	Level    level
	Sentence string
	Key      string // changes when the verdict is another one, not with its numbers
}

type finding struct {
	level       level
	key, phrase string
}

const (
	emptyText = "No app found on this host yet: start gunicorn, or name it in apps:"
	maxAge    = 2 * time.Minute // of the last gather, before it is doubted
	busyLong  = 1.0             // seconds of a request before a full house is worth a word
	maxAlso   = 2               // findings named beside the worst
)

// judge says in one sentence how the apps do, from the numbers of the last
// gather alone. It is pure.
func judge(s system, now time.Time) verdict {
	if s.At.IsZero() {
		return verdict{levelUnknown, "The first look at this host has not ended yet", "first"}
	}
	var found []finding
	if age := now.Sub(s.At); age > maxAge {
		found = append(found, finding{levelWarning, "stale",
			"the last check is " + formatSeconds(age.Seconds()) + " old: what is shown may have changed"})
	}
	for i := range s.Apps {
		found = append(found, s.findApp(&s.Apps[i])...)
	}
	found = append(found, s.findHost()...)
	slices.SortStableFunc(found, func(a, b finding) int { return cmp.Compare(b.level, a.level) })
	if len(found) > 0 {
		return worst(found)
	}
	switch len(s.Apps) {
	case 0:
		return verdict{levelUnknown, emptyText, "empty"}
	case 1:
		return calmApp(&s.Apps[0])
	default:
		return calmApps(s.Apps)
	}
}

func worst(found []finding) verdict {
	v := verdict{Level: found[0].level, Sentence: found[0].phrase}
	keys := make([]string, len(found))
	for i, f := range found {
		keys[i] = fmt.Sprint(f.level, " ", f.key)
		if i > 0 && i <= maxAlso {
			v.Sentence += "; " + f.phrase
		}
	}
	if more := len(found) - 1 - maxAlso; more > 0 {
		v.Sentence += fmt.Sprintf("; and %d more", more)
	}
	v.Key = strings.Join(keys, ", ")
	return v
}

func (s *system) findApp(a *app) []finding {
	if a.Up != nil && *a.Up == 0 {
		return []finding{{levelCritical, a.Name + " down", a.Name + " is down: no process of it was found"}}
	}
	found := findWorkers(a)
	add := func(resource string, v *float64, phrase func() string) {
		if l := s.limits[resource].judge(v); l > levelHealthy {
			found = append(found, finding{l, a.Name + " " + resource, phrase()})
		}
	}
	if a.queueFull() {
		found = append(found, finding{levelCritical, a.Name + " queue full",
			"the queue of " + a.Name + " is full: " + queueText(a) + " connections wait"})
	} else if told := len(found) > 0 && found[0].level >= s.limits["request_queue"].judge(a.Queue) && a.free() == 0; !told {
		add("request_queue", a.Queue, func() string { return queueText(a) + " connections wait for " + a.Name })
	}
	add("error_rate", a.Errors, func() string { return formatPercent(*a.Errors) + " of the requests to " + a.Name + " fail with 5xx" })
	add("response_time", a.Mean, func() string { return a.Name + " takes " + formatSeconds(*a.Mean) + " a request on average" })
	add("memory", a.MemoryRatio, func() string { return a.Name + " uses " + formatPercent(*a.MemoryRatio) + " of its memory" })
	add("cpu", a.CPU, func() string { return a.Name + " uses " + formatPercent(*a.CPU) + " of its CPU" })
	return found
}

// free is how many workers could take a request now.
func (a *app) free() float64 { return max(0, a.total()-a.in("stuck")-a.in("busy")) }

// blind tells whether nothing says that the app works: what is unknown must
// not look healthy.
func (a *app) blind() bool {
	return a.Rate == nil && len(a.Workers) > 0 && !slices.ContainsFunc(a.Workers, func(w worker) bool { return w.State != "" })
}

func (a *app) queueFull() bool {
	return a.Queue != nil && a.QueueLimit != nil && *a.QueueLimit > 0 && *a.Queue >= *a.QueueLimit
}

// findWorkers judges the workers: nobody is left to answer, or some hang.
func findWorkers(a *app) []finding {
	total, stuck, taken := a.total(), a.in("stuck"), a.in("stuck")+a.in("busy")
	longest := longestOf(a)
	waits := a.Queue != nil && *a.Queue > 0
	f := finding{key: a.Name + " workers"}
	switch {
	case a.blind():
		f.level, f.phrase = levelWarning, a.Name+" runs, but whether it answers cannot be seen: no worker may be looked at, no request is reported"
		return []finding{f}
	case total == 0:
		return nil
	case stuck == total:
		f.level, f.phrase = levelCritical, fmt.Sprintf("%s does not answer: %s stuck", a.Name, ofWorkers(stuck, total))
	case a.free() == 0 && stuck > 0:
		f.level, f.phrase = levelCritical, fmt.Sprintf("%s is held up: %s busy or stuck", a.Name, ofWorkers(taken, total))
	case a.free() == 0 && (waits || longest != nil && *longest.Seconds >= busyLong):
		f.level, f.phrase = levelWarning, fmt.Sprintf("%s has no free worker: %s busy", a.Name, ofWorkers(taken, total))
	case stuck > 0:
		f.level, f.phrase = levelWarning, fmt.Sprintf("%s of %s %s stuck", ofWorkers(stuck, total), a.Name, isAre(stuck))
	default:
		return nil
	}
	if longest != nil {
		f.phrase += ", longest " + formatSeconds(*longest.Seconds) + " (worker " + longest.Slot + detailText(longest.Detail) + ")"
	}
	if waits && a.free() == 0 {
		f.phrase += ", queue " + queueText(a)
	}
	return []finding{f}
}

// longestOf is the worker that hangs longest, else the one that is busy longest.
func longestOf(a *app) *worker {
	var out *worker
	for i := range a.Workers {
		w := &a.Workers[i]
		if w.Seconds == nil || trouble(w.State) < trouble("busy") {
			continue
		}
		if out == nil || compareTrouble(*w, *out) < 0 {
			out = w
		}
	}
	return out
}

// trouble ranks the states: the higher, the sooner a person should see it.
func trouble(state string) int {
	return slices.Index([]string{"idle", "", "booting", "busy", "stuck"}, state)
}

// compareTrouble puts the worst first, and the longest first among equals.
func compareTrouble(a, b worker) int {
	seconds := func(w worker) float64 {
		if w.Seconds == nil {
			return 0
		}
		return *w.Seconds
	}
	return cmp.Or(cmp.Compare(trouble(b.State), trouble(a.State)), cmp.Compare(seconds(b), seconds(a)), compareSlots(a.Slot, b.Slot))
}

func (s *system) findHost() []finding {
	var found []finding
	add := func(resource, key string, v *float64, what string) {
		if l := s.limits[resource].judge(v); l > levelHealthy {
			found = append(found, finding{l, key, what + " at " + formatPercent(*v)})
		}
	}
	for _, d := range s.Host.Disks {
		add("disk", "disk "+d.Name, d.Ratio, "disk "+d.Name+" is")
	}
	add("memory", "host memory", s.Host.Memory, "the host's memory is")
	add("cpu", "host cpu", s.Host.CPU, "the host's CPU is")
	return found
}

// judge compares v with the limits; what is not known is never worse than healthy.
func (l limit) judge(v *float64) level {
	switch {
	case v == nil:
		return levelUnknown
	case l.critical != nil && *v >= *l.critical:
		return levelCritical
	case l.warning != nil && *v >= *l.warning:
		return levelWarning
	default:
		return levelHealthy
	}
}

func calmApp(a *app) verdict {
	parts := calmParts(a)
	if len(parts) == 0 && a.Up == nil {
		return verdict{levelUnknown, "What " + a.Name + " does is not known yet", a.Name + " unknown"}
	}
	v := verdict{levelHealthy, a.Name + " answers", a.Name + " healthy"}
	if a.Rate == nil {
		v.Sentence = a.Name + " runs" // nobody told us of a request
	}
	if len(parts) > 0 {
		v.Sentence += ": " + strings.Join(parts, ", ")
	}
	return v
}

func calmParts(a *app) []string {
	var parts []string
	if total := a.total(); total > 0 && (len(a.states) > 0 || a.in("busy")+a.in("idle") > 0) {
		parts = append(parts, ofWorkers(a.in("busy"), total)+" busy")
	}
	if a.Queue != nil {
		parts = append(parts, "queue "+queueText(a))
	}
	if a.Rate != nil {
		parts = append(parts, strings.Replace(formatRate(*a.Rate), "/s", " requests/s", 1))
	}
	if a.P95 != nil {
		parts = append(parts, "p95 "+formatSeconds(*a.P95))
	}
	return parts
}

func calmApps(apps []app) verdict {
	var busy, total float64
	var rate *float64
	for i := range apps {
		busy, total, rate = busy+apps[i].in("busy"), total+apps[i].total(), plus(rate, apps[i].Rate)
	}
	sum := app{Rate: rate}
	parts := append([]string{ofWorkers(busy, total) + " busy"}, calmParts(&sum)...)
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
	return verdict{levelHealthy, sentence, "healthy " + strconv.Itoa(len(apps))}
}

func ofWorkers(n, total float64) string {
	if total == 1 {
		return formatCount(n) + " of 1 worker"
	}
	return formatCount(n) + " of " + formatCount(total) + " workers"
}

func isAre(n float64) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func queueText(a *app) string {
	if a.QueueLimit == nil {
		return formatCount(*a.Queue)
	}
	return formatCount(*a.Queue) + " of " + formatCount(*a.QueueLimit)
}

func detailText(detail string) string {
	if detail == "" {
		return ""
	}
	return ", " + detail
}
