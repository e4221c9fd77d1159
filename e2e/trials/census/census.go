// Package census runs apps that lose memory in different ways and compares what the
// exporter's censuses of the heap name with what keeps it.
package census

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/trials/leakrig"
)

//go:embed app.py
var source string

const look = time.Second

// Ways returns the ways in which an app loses memory.
func Ways() []string {
	return []string{"list", "dict", "set", "lru_cache", "class", "closure", "deque", "instance", "lists", "cycle", "malloc", "array"}
}

// Case is one run.
type Case struct {
	Seed     uint64 // of everything that is random
	Way      string
	Exporter string
	Workers  int
	Rate     float64       // requests a second
	Scale    float64       // how many times faster the exporter's time passes for leaks
	Longest  time.Duration // until the census must be known
}

// Result is what a run has shown.
type Result struct {
	Want, Got      string // the container, with its kind; what was said instead
	Type           string // that grows most
	Right          bool
	Suspected      time.Duration // until a worker was suspected
	After          time.Duration // until the census was known
	PerHour, Truth float64       // items of the container, as told and as kept
	Objects, CPU   float64
	Before, During Latency
}

// Latency is how long requests took, in seconds.
type Latency struct {
	Requests    int
	Median, P95 float64
}

// census is the part of /api/v1/status that is read.
type census struct {
	Outcome    string
	Reason     *string
	Objects    float64
	CPU        float64 `json:"cpu_seconds"`
	Types      []struct{ Name string }
	Containers []struct {
		Name, Kind string
		PerHour    float64 `json:"per_hour"`
	}
}

type request struct {
	at   time.Time
	took time.Duration
}

type trial struct {
	*leakrig.Rig

	c     *Case
	name  string
	items int

	mu       sync.Mutex
	requests []request
}

// Run runs one case.
func Run(ctx context.Context, c *Case) (_ Result, err error) {
	draws := rand.New(rand.NewPCG(c.Seed, 5))
	names := []string{"basket", "seen", "rows", "sessions", "pending", "results", "orders", "history", "users", "jobs"}
	t := &trial{c: c, name: names[draws.IntN(len(names))], items: 3 + draws.IntN(10)}
	t.Rig, err = leakrig.Start(ctx, leakrig.Options{
		Source: source, Workers: c.Workers, Exporter: c.Exporter, Scale: c.Scale,
		Env: []string{"WAY=" + c.Way, "NAME=" + t.name, "ITEMS=" + strconv.Itoa(t.items), "BYTES=" + strconv.Itoa(40_000/t.items)},
	})
	if err != nil {
		return Result{}, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		err = errors.Join(err, t.Close())
	}()
	t.Calls.Go(func() { t.load(ctx) })
	return t.watch(ctx)
}

// load sends requests at random times.
func (t *trial) load(ctx context.Context) {
	draws := rand.New(rand.NewPCG(t.c.Seed, 6))
	open := make(chan struct{}, 30)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(draws.ExpFloat64() / t.c.Rate * 1e9)):
		}
		select {
		case open <- struct{}{}:
		default:
			continue
		}
		t.Calls.Go(func() {
			defer func() { <-open }()
			began := time.Now()
			if _, err := t.Get(ctx, t.App+"/"); err == nil {
				t.mu.Lock()
				defer t.mu.Unlock()
				t.requests = append(t.requests, request{began, time.Since(began)})
			}
		})
	}
}

// watch returns what the census named, read from /api/v1/status until it is known.
func (t *trial) watch(ctx context.Context) (Result, error) {
	out := Result{Want: t.want()}
	began, from := time.Now(), time.Time{}
	for time.Since(began) < t.c.Longest {
		select {
		case <-ctx.Done():
			return out, ctx.Err()
		case <-time.After(look):
		}
		suspected, known, err := t.status(ctx)
		if err != nil {
			return out, err
		}
		if suspected && out.Suspected == 0 {
			out.Suspected = time.Since(began)
		}
		if known == nil {
			continue
		}
		if from.IsZero() {
			from = time.Now()
		}
		if known.Outcome == "pending" || known.Outcome == "steady" {
			continue
		}
		out.After = time.Since(began)
		out.note(known)
		now := time.Now()
		out.During, out.Before = t.latency(from, now), t.latency(from.Add(-4*now.Sub(from)), from)
		out.Truth = t.truth(from, now)
		return out, nil
	}
	out.Got = "nothing"
	return out, nil
}

// want returns what the census must name.
func (t *trial) want() string {
	kind := map[string]string{"class": "list", "instance": "list", "closure": "list", "lists": "list"}[t.c.Way]
	if kind == "" {
		kind = t.c.Way
	}
	switch t.c.Way {
	case "malloc", "array":
		return "not_python"
	case "cycle":
		return "Node"
	case "class":
		return kind + " leakapp.Shop." + t.name
	case "instance":
		return kind + " leakapp.store." + t.name
	case "closure":
		return kind + " leakapp." + t.name + ".__closure__"
	case "lists":
		return kind + " leakapp." + t.name + "[…]"
	}
	return kind + " leakapp." + t.name
}

// note records what a census names.
func (r *Result) note(c *census) {
	r.Objects, r.CPU, r.Got = c.Objects, c.CPU, c.Outcome
	if c.Reason != nil {
		r.Got += " " + *c.Reason
	}
	if len(c.Types) > 0 {
		r.Type = c.Types[0].Name
	}
	if c.Outcome == "grows" && len(c.Containers) > 0 {
		r.Got, r.PerHour = c.Containers[0].Kind+" "+c.Containers[0].Name, c.Containers[0].PerHour
	}
	r.Right = r.Got == r.Want || r.Want == "Node" && c.Outcome == "grows" && len(c.Containers) == 0 && r.Type == "leakapp.Node"
}

// status returns whether a worker is suspected, and what is known of its heap.
func (t *trial) status(ctx context.Context) (suspected bool, known *census, err error) {
	text, err := t.Get(ctx, t.Metrics+"/api/v1/status")
	if err != nil {
		return false, nil, err
	}
	var s struct {
		Apps []struct {
			Workers []struct {
				Leak *struct {
					Suspected bool
					Census    *census
				}
			}
		}
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return false, nil, err
	}
	for _, a := range s.Apps {
		for _, w := range a.Workers {
			if w.Leak == nil {
				continue
			}
			suspected = suspected || w.Leak.Suspected
			if w.Leak.Census != nil {
				known = w.Leak.Census
			}
		}
	}
	return suspected, known, nil
}

// between returns the requests that began within some time.
func (t *trial) between(from, to time.Time) (out []request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.requests {
		if !r.at.Before(from) && r.at.Before(to) {
			out = append(out, r)
		}
	}
	return out
}

// latency returns the latencies in seconds of the requests from one time to another; NaN
// without requests.
func (t *trial) latency(from, to time.Time) Latency {
	all := t.between(from, to)
	slices.SortFunc(all, func(a, b request) int { return int(a.took - b.took) })
	if len(all) == 0 {
		return Latency{Median: math.NaN(), P95: math.NaN()}
	}
	return Latency{len(all), all[len(all)/2].took.Seconds(), all[len(all)*95/100].took.Seconds()}
}

// truth returns how many items an hour a worker keeps, if all have as many requests.
func (t *trial) truth(from, to time.Time) float64 {
	return float64(len(t.between(from, to))*t.items) / to.Sub(from).Hours() / float64(t.c.Workers)
}
