// Package capacity says how much an app is used, at which rate it ends, and what it
// needs. It is pure.
package capacity

import (
	"fmt"
	"math"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/health/measures"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

const (
	// highUse is the utilization from which more workers are advised, goodUse that
	// for which they are advised.
	highUse = 0.85
	goodUse = 0.70
	// fullCore is how much of a core a worker must use for more threads in it not to
	// help: a Python process computes in one thread at a time.
	fullCore = 0.7
	// leastRate is the rate from which it is known what a request takes: ten requests
	// in the last minute.
	leastRate = 10.0 / 60
)

// Input is one app in the state of one gather.
type Input struct {
	State   *model.State
	App     string
	Workers float64
	Limits  config.Thresholds // in force for the app
	Host    config.Thresholds // for the host
}

// Advice returns a sentence about an app that is nearly always busy with useful work: what it would
// need. "": the app has room, few requests or no workers, or its use or requests are not known.
func Advice(in Input) string {
	u, r := measures.Waits(in.State, in.App), measures.Requests(in.State, in.App)
	if u == nil || u.Utilization == nil || *u.Utilization < highUse || u.Saturation == nil || r == nil || r.Rate == nil || *r.Rate < leastRate || in.Workers == 0 {
		return ""
	}
	threads := in.threads()
	who := plural(in.Workers, "worker") + " of " + in.App
	if threads > in.Workers {
		who = plural(threads, "thread") + " in " + who
	}
	is := "are"
	if threads == 1 {
		is = "is"
	}
	return fmt.Sprintf("%s %s %s busy with useful work at %s requests/s; %s is the end: %s.",
		who, is, text.Percent(*u.Utilization), text.Count(round(*r.Rate)), text.Count(round(*u.Saturation)), in.more(threads, *u.Utilization))
}

func plural(n float64, one string) string { return text.Plural(n, one, one+"s") }

// round returns a rate rounded to a whole number from 10 on, below that to a tenth.
func round(v float64) float64 {
	if v >= 10 {
		return math.Round(v)
	}
	return math.Round(v*10) / 10
}

// threads returns how many threads of the app take requests, at least one a worker.
func (in *Input) threads() float64 {
	n := 0
	if list := measures.Workers(in.State, in.App); list != nil {
		for i := range list.Workers {
			own := 0
			for j := range list.Workers[i].Threads {
				if t := &list.Workers[i].Threads[j]; !t.Task && !t.Helper {
					own++
				}
			}
			n += max(own, 1)
		}
	}
	return max(float64(n), in.Workers)
}

// more returns in words what the app needs: less CPU time if its CPU or that of the host is
// at the warning, more threads if it has more than workers and no worker is known to use a
// whole core, else more workers, as far as memory is known to allow them. use is the part
// of its threads' time in which they are busy.
func (in *Input) more(threads, use float64) string {
	if cpu, of := in.cpu(); cpu >= math.Min(in.Limits.CPU.Warning, 1) {
		return of + " is at " + text.Percent(cpu) + ", so more workers would not help; reduce the CPU time of its requests, or give it more CPU"
	}
	cores := 0.0
	if a := measures.App(in.State, in.App); a != nil {
		_, cores = measures.Busiest(a)
	}
	if threads > in.Workers && cores < fullCore {
		return plural(math.Ceil(use*threads/goodUse/in.Workers), "thread") + " for each worker, which share its memory"
	}
	want := math.Max(math.Ceil(use*in.Workers/goodUse), in.Workers+1)
	fit, bytes, known := in.fit()
	switch {
	case !known:
		return plural(want, "worker") + ", if memory allows it"
	case fit >= want-in.Workers:
		return plural(want, "worker") + ", memory allows it"
	case fit >= 1:
		return fmt.Sprintf("%s would do, and memory allows %s of up to %s each", plural(want, "worker"), text.Count(in.Workers+fit), text.Bytes(bytes))
	}
	return fmt.Sprintf("%s would do, but memory allows no more of up to %s each; threads share the memory of a worker", plural(want, "worker"), text.Bytes(bytes))
}

// cpu returns the CPU usage of the app, of what it may use, or that of the host if that
// is more, from 0 to 1, and whose it is in words; 0 and "" if neither is known.
func (in *Input) cpu() (use float64, of string) {
	if a := measures.App(in.State, in.App); a != nil && a.CPU != nil {
		use, of = *a.CPU, "its CPU"
	}
	if v := in.State.Host.CPU; v != nil && *v > use {
		use, of = *v, "the CPU of the host"
	}
	return use, of
}

// fit returns how many more workers fit into memory below the warning thresholds of the
// app and the host, and the bytes of the largest worker. known is false if no memory or
// limit is known.
func (in *Input) fit() (n, bytes float64, known bool) {
	m := measures.Memory(in.State, in.App)
	if m == nil {
		return 0, 0, false
	}
	if _, bytes = measures.Largest(m); bytes == 0 {
		return 0, 0, false
	}
	left := math.Inf(1)
	take := func(used, total *float64, limit float64) {
		if used != nil && total != nil {
			left = math.Min(left, (math.Min(limit, 1)-*used)**total)
		}
	}
	take(m.Usage, m.Limit, in.Limits.Memory.Warning)
	take(in.State.Host.Memory, in.State.Host.Total, in.Host.Memory.Warning)
	if math.IsInf(left, 1) {
		return 0, bytes, false
	}
	return math.Max(0, math.Floor(left/bytes)), bytes, true
}
