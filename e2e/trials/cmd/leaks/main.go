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

// run prints the table and reports whether the detector is good enough.
func run(stdout io.Writer, seed, n uint64, file string, each bool) (ok bool, err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return false, err
	}
	f, err := os.Create(file)
	if err != nil {
		return false, err
	}
	w := csv.NewWriter(f)
	_ = w.Write([]string{"detector", "kind", "seed", "leak", "latched", "final", "detected_at_s", "leak_start_s", "slope_bytes_per_s", "leak_rate_bytes_per_s"})
	fmt.Fprintf(stdout, "seed %d, %d traces of each of %d kinds\n", seed, n, len(leaktest.Kinds()))
	fmt.Fprintln(stdout, "| detector | latched F1 | final F1 | false alarms in 100 h, latched / final | slope error | delay |")
	fmt.Fprintln(stdout, "|---|---|---|---|---|---|")
	for i, d := range append([]detector{{"resp-exporter", ours}}, peers()...) {
		var latched, final leaktest.Score
		for _, k := range leaktest.Kinds() {
			right := 0
			for s := seed; s < seed+n; s++ {
				t := leaktest.Generate(k, s)
				a, b := d.judge(&t)
				latched.Add(&t, a)
				final.Add(&t, b)
				if b.Leak == t.Leak {
					right++
				}
				_ = w.Write(row(d.name, k, s, &t, a, b))
			}
			if each && i == 0 {
				fmt.Fprintf(os.Stderr, "%-20s %d of %d right in the end\n", k, right, n)
			}
		}
		fmt.Fprintf(stdout, "| %s | %.3f | %.3f | %.2f / %.2f | %.2f | %.0f s |\n", d.name, latched.F1(), final.F1(), latched.FalsePer100(), final.FalsePer100(), final.SlopeError(), final.Delay())
		if i == 0 {
			ok = latched.F1() >= .88 && final.F1() >= .9 && final.SlopeError() <= .1
		}
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return false, err
	}
	return ok, f.Close()
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
