// Command fleet serves many exporters from the recording of one, scrapes them with a real
// Prometheus and the shipped rules, and prints what the rules cost. With -old it does the
// same with another directory of rules, and fails if other alerts are active.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/trials/fleet"
	"github.com/resp-exporter/resp-exporter/e2e/trials/trial"
)

func main() { trial.Main("fleet", start) }

func start(ctx context.Context) error {
	var o fleet.Options
	flag.IntVar(&o.Hosts, "n", 100, "hosts")
	flag.StringVar(&o.Rules, "rules", "rules", "directory of the rules")
	old := flag.String("old", "", "another directory of rules, to compare with")
	none := flag.Bool("none", false, "measure it without rules too")
	flag.DurationVar(&o.Warm, "warm", 130*time.Second, "time before the first figure: a round of the rules of two minutes")
	flag.DurationVar(&o.Time, "time", 2*time.Minute, "time of measuring; a multiple of two minutes has whole rounds of all rules")
	flag.StringVar(&o.Dashboards, "dashboards", "", "run the queries of the dashboards of this directory at the end, with All chosen")
	flag.Parse()
	if flag.NArg() > 0 || o.Hosts < 1 {
		return fmt.Errorf("unexpected arguments %q, or no host", flag.Args())
	}
	runs := []fleet.Options{o}
	if *old != "" {
		o.Rules, o.Dashboards = *old, ""
		runs = append(runs, o)
	}
	if *none {
		o.None, o.Dashboards = true, ""
		runs = append(runs, o)
	}
	var results []*fleet.Result
	for _, o := range runs {
		r, err := fleet.Run(ctx, o)
		if r != nil {
			show(r)
		}
		if err != nil {
			return err
		}
		results = append(results, r)
	}
	if *old == "" {
		return nil
	}
	return compare(results[0].Alerts, results[1].Alerts)
}

// show prints a result as a table.
func show(r *fleet.Result) {
	name := r.Rules
	if r.None {
		name = "no rules"
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	row := func(what, format string, v ...any) { fmt.Fprintf(out, "%s\t%s\n", what, fmt.Sprintf(format, v...)) }
	row("rules", "%s", name)
	row("hosts", "%d, of which %.0f answer; %d series each", r.Hosts, r.Up, r.Series)
	row("samples of the past", "%d", r.Past)
	row("series of Prometheus", "%.0f, of which %.0f are recorded", r.Head, r.RecordedSeries)
	row("samples written", "%.0f a second", r.ScrapedASecond)
	row("CPU", "%.3f cores in %.0f s", r.CPU, r.MeasuredSeconds)
	row("evaluation of rules", "%.3f s a second", r.Evaluating)
	row("resident memory", "%.0f MiB", r.RSS/(1<<20))
	row("samples read by rules", "%.0f a second, %.0f for each host", r.SamplesASecond, r.SamplesASecond/float64(r.Hosts))
	row("iterations missed", "%.0f", r.Missed)
	row("evaluations failed", "%.0f", r.Failed)
	named := map[string]int{}
	for _, a := range r.Alerts {
		named[a.Name]++
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		row("active "+name, "%d", named[name])
	}
	for _, g := range r.Groups {
		row("group "+g.Name, "%.3f s, %.3f s at most", g.Last, g.Max)
	}
	for _, c := range r.Costs[:min(len(r.Costs), 15)] {
		row("rule "+c.Rule, "%.0f samples each %s, %.0f a second", c.Samples, c.Every, c.ASecond())
	}
	showQueries(r, row)
	_ = out.Flush()
	fmt.Println()
}

// showQueries adds the queries that return many series, those that take 0.2 s or more,
// and a line for each dashboard.
func showQueries(r *fleet.Result, row func(what, format string, v ...any)) {
	if len(r.Queries) == 0 {
		return
	}
	type sum struct {
		queries, many, bytes int
		seconds              float64
	}
	boards := map[string]sum{}
	for _, q := range r.Queries {
		b := boards[q.Dashboard]
		b.queries, b.bytes, b.seconds = b.queries+1, b.bytes+q.Bytes, b.seconds+q.Seconds
		if q.Series > 200 {
			b.many++
			row("query "+q.Dashboard+", "+q.Where, "%d series, %.1f kB, %.3f s", q.Series, float64(q.Bytes)/1e3, q.Seconds)
		}
		boards[q.Dashboard] = b
	}
	slowest := slices.Clone(r.Queries)
	slices.SortFunc(slowest, func(a, b fleet.Query) int { return cmp.Compare(b.Seconds, a.Seconds) })
	for _, q := range slowest {
		if q.Seconds < 0.2 {
			break
		}
		row("slow query "+q.Dashboard+", "+q.Where, "%.3f s", q.Seconds)
	}
	row("iterations missed while queried", "%.0f", r.MissedQueried)
	for _, name := range slices.Sorted(maps.Keys(boards)) {
		b := boards[name]
		row("dashboard "+name, "%d queries, %.1f s, %.2f MB; %d return more than 200 series", b.queries, b.seconds, float64(b.bytes)/1e6, b.many)
	}
}

// compare prints the alerts that only one of both has.
func compare(now, before []fleet.Alert) error {
	differ := false
	for _, a := range now {
		if !slices.Contains(before, a) {
			differ = true
			fmt.Println("only now:   ", a.Labels)
		}
	}
	for _, a := range before {
		if !slices.Contains(now, a) {
			differ = true
			fmt.Println("only before:", a.Labels)
		}
	}
	if differ {
		return errors.New("other alerts are active than before")
	}
	fmt.Printf("the same %d alerts are active\n", len(now))
	return nil
}
