// Command leaks scores the detector of memory leaks, and the rules that others use, on
// traces that a seed draws. It exits with 1 if the detector is worse than what
// docs/leaks.md says. Each trace is a line of a CSV file.
package main

import (
	"encoding/csv"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"github.com/resp-exporter/resp-exporter/internal/leak/leaktest"
	"github.com/resp-exporter/resp-exporter/internal/leak/trace"
)

// detector says of a trace whether an alarm was ever raised, and whether one stands.
type detector struct {
	name  string
	judge func(t *leaktest.Trace) (latched, final leaktest.Said)
}

func main() {
	seed := flag.Uint64("seed", 1, "of the first trace of each kind")
	n := flag.Uint64("n", 20, "traces of each kind")
	out := flag.String("csv", "build/trials/leaks.csv", "file of the results")
	kinds := flag.Bool("kinds", false, "print each kind")
	flag.Parse()
	ok, err := run(os.Stdout, *seed, *n, *out, *kinds)
	if err != nil {
		fmt.Fprintln(os.Stderr, "leaks:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// report is where the results of all detectors go.
type report struct {
	stdout io.Writer
	rows   *csv.Writer
	seed   uint64
	n      uint64 // traces of each kind
}

// run prints the table and reports whether the detector is good enough.
func run(stdout io.Writer, seed, n uint64, file string, each bool) (ok bool, err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return false, err
	}
	f, err := os.Create(file)
	if err != nil {
		return false, err
	}
	r := &report{stdout, csv.NewWriter(f), seed, n}
	_ = r.rows.Write([]string{"detector", "kind", "seed", "leak", "latched", "final", "detected_at_s", "leak_start_s", "slope_bytes_per_s", "leak_rate_bytes_per_s"})
	fmt.Fprintf(stdout, "seed %d, %d traces of each of %d kinds\n", seed, n, len(leaktest.Kinds()))
	fmt.Fprintln(stdout, "| detector | latched F1 | final F1 | false alarms in 100 h, latched / final | slope error | delay |")
	fmt.Fprintln(stdout, "|---|---|---|---|---|---|")
	ok = r.judge(detector{"resp-exporter", ours}, each)
	for _, d := range peers() {
		r.judge(d, false)
	}
	r.rows.Flush()
	if err := r.rows.Error(); err != nil {
		return false, err
	}
	return ok, f.Close()
}

// judge scores one detector, and reports whether it is as good as ours must be. each: the
// score for each kind is printed.
func (r *report) judge(d detector, each bool) bool {
	var latched, final leaktest.Score
	for _, k := range leaktest.Kinds() {
		if right := r.judgeKind(d, k, &latched, &final); each {
			fmt.Fprintf(os.Stderr, "%-20s %d of %d right in the end\n", k, right, r.n)
		}
	}
	fmt.Fprintf(r.stdout, "| %s | %.3f | %.3f | %.2f / %.2f | %.2f | %.0f s |\n", d.name, latched.F1(), final.F1(), latched.FalsePer100(), final.FalsePer100(), final.SlopeError(), final.Delay())
	return latched.F1() >= .9 && final.F1() >= .92 && latched.FalsePer100() <= 2.5 && final.SlopeError() <= .1
}

// judgeKind scores one detector on the traces of one kind, and returns how many were
// right in the end.
func (r *report) judgeKind(d detector, kind string, latched, final *leaktest.Score) (right int) {
	for s := r.seed; s < r.seed+r.n; s++ {
		t := leaktest.Generate(kind, s)
		a, b := d.judge(&t)
		latched.Add(&t, a)
		final.Add(&t, b)
		if b.Leak == t.Leak {
			right++
		}
		_ = r.rows.Write(row(d.name, kind, s, &t, a, b))
	}
	return right
}

func row(name, kind string, seed uint64, t *leaktest.Trace, latched, final leaktest.Said) []string {
	number := func(x float64) string { return strconv.FormatFloat(x, 'f', 1, 64) }
	return []string{name, kind, strconv.FormatUint(seed, 10), strconv.FormatBool(t.Leak), strconv.FormatBool(latched.Leak), strconv.FormatBool(final.Leak), number(latched.At), number(t.Start), number(final.Slope), number(t.Rate)}
}

func ours(t *leaktest.Trace) (latched, final leaktest.Said) {
	f := trace.NewFeed()
	for _, r := range t.Rows {
		f.Add(r)
	}
	v := f.Verdict()
	return leaktest.Said{Leak: !math.IsNaN(v.First), At: v.First, Slope: v.Slope}, leaktest.Said{Leak: v.Leak, At: v.Since, Slope: v.Slope}
}
