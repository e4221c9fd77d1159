package relay

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// columns are those of the file, after the seed.
func columns() []string {
	return []string{"batch", "host", "process", "while", "sent_ms", "after_ms", "runs"}
}

// row returns the alert as it is in the file.
func (a Alert) row() []string {
	return []string{
		strconv.Itoa(a.Batch), a.Host, strconv.FormatBool(a.Real), a.While, strconv.FormatInt(a.Sent.UnixMilli(), 10),
		strconv.FormatInt(a.After.Milliseconds(), 10), strconv.Itoa(a.Runs),
	}
}

// parse returns the alerts of the file. Of two rows about one alert, the second one counts.
func parse(rows [][]string) ([]Alert, error) {
	at := make(map[string]int)
	var out []Alert
	for _, row := range rows {
		if len(row) != len(columns()) {
			return nil, fmt.Errorf("a row has %d columns", len(row))
		}
		var n [4]int64
		for i, column := range []int{0, 4, 5, 6} {
			v, err := strconv.ParseInt(row[column], 10, 64)
			if err != nil {
				return nil, err
			}
			n[i] = v
		}
		a := Alert{
			Batch: int(n[0]), Host: row[1], Real: row[2] == "true", While: row[3], Sent: time.UnixMilli(n[1]),
			After: time.Duration(n[2]) * time.Millisecond, Runs: int(n[3]),
		}
		if i, ok := at[a.key()]; ok {
			out[i] = a
			continue
		}
		at[a.key()] = len(out)
		out = append(out, a)
	}
	return out, nil
}

// Sum is what became of some alerts.
type Sum struct {
	Sent, Once, Twice, Lost int
	P50, P99, Max           time.Duration
}

// Sum returns what became of the alerts that f selects.
func (r *Result) Sum(f func(Alert) bool) Sum {
	var s Sum
	var took []time.Duration
	for _, a := range r.Alerts {
		if !f(a) {
			continue
		}
		s.Sent++
		switch a.Runs {
		case 0:
			s.Lost++
			continue
		case 1:
			s.Once++
		default:
			s.Twice++
		}
		took = append(took, a.After)
	}
	if slices.Sort(took); len(took) > 0 {
		s.P50, s.P99, s.Max = took[len(took)/2], took[len(took)*99/100], took[len(took)-1]
	}
	return s
}

// All returns what became of all alerts.
func (r *Result) All() Sum { return r.Sum(func(Alert) bool { return true }) }

// Print prints the result as tables.
func (r *Result) Print(w io.Writer) {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "alerts\tsent\trun once\ttwice\tlost\tp50\tp99\tslowest")
	line := func(name string, s Sum) {
		fmt.Fprintf(out, "%s\t%d\t%d\t%d\t%d\t%.1f s\t%.1f s\t%.1f s\n", name, s.Sent, s.Once, s.Twice, s.Lost, s.P50.Seconds(), s.P99.Seconds(), s.Max.Seconds())
	}
	line("all", r.All())
	for _, part := range []struct{ while, name string }{
		{"", "nothing happens"}, {whileRedis, "the Redis is killed"}, {whileHalt, "an Alertmanager is stopped"}, {whileCrash, "their exporter is killed"},
	} {
		if s := r.Sum(func(a Alert) bool { return a.While == part.while }); s.Sent > 0 {
			line(part.name, s)
		}
	}
	line("about a process", r.Sum(func(a Alert) bool { return a.Real }))
	_ = out.Flush()
	fmt.Fprintf(w, "\n%d exporters, %d of them processes, in %s\n", r.Hosts, r.Real, r.Took.Round(time.Second))
	for _, name := range slices.Sorted(maps.Keys(r.Receivers)) {
		counted := strings.HasPrefix(name, "resp_heal_relay_") || strings.HasPrefix(name, "resp_heal_webhook_requests_total") || name == "process_cpu_seconds_total"
		if v := r.Receivers[name]; v > 0 && counted {
			fmt.Fprintf(w, "both receivers: %s %g\n", name, v)
		}
	}
	for _, part := range []struct {
		name   string
		counts map[string]float64
	}{{"entries", r.Entries}, {"decisions", r.Decisions}} {
		for _, name := range slices.Sorted(maps.Keys(part.counts)) {
			if v := part.counts[name]; v > 0 {
				fmt.Fprintf(w, "exporters of this process: %s %s %g\n", part.name, name, v)
			}
		}
	}
	if u := r.Store; u.Seconds > 0 {
		fmt.Fprintf(w, "the Redis: %.3f cores, %.0f commands a second, %.1f MB at most, %.0f clients, %.0f kB a second received, %.1f MB of append-only file\n",
			u.CPU/u.Seconds, u.Commands/u.Seconds, u.Peak/1e6, u.Clients, u.Received/u.Seconds/1e3, u.AOF/1e6)
	}
}
