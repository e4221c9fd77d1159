// Command causes makes faults on real servers and apps, side by side, and reports how
// often the exporter says what holds up the app. Each run is a line of a CSV file, which
// a later run with the same file and seed continues.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync"

	"github.com/resp-exporter/resp-exporter/e2e/trials/causes"
	"github.com/resp-exporter/resp-exporter/e2e/trials/trial"
)

func main() { trial.Main("causes", start) }

// batch is the runs of one seed.
type batch struct {
	lab     *causes.Lab
	seed    uint64
	verbose bool

	mu   sync.Mutex
	rows *trial.Rows
	raw  *os.File
	all  []row
}

// row is one result.
type row struct {
	name, want                string
	right, judged, thresholds int
	starved                   int
	told, clear               float64
	fault                     string
}

func start(ctx context.Context) error {
	b := &batch{}
	exporter := flag.String("exporter", "build/resp-exporter", "the exporter")
	flag.Uint64Var(&b.seed, "seed", 1, "of the order, the names and the times")
	only := flag.String("cases", ".", "regular expression that picks cases by name")
	beside := flag.Int("beside", 4, "cases side by side that do not load the processors")
	file := flag.String("csv", "", "a line a case; a file with lines of the same seed is continued (build/trials/causes-SEED.csv)")
	flag.BoolVar(&b.verbose, "v", false, "print each look")
	flag.Parse()
	pick, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	if *file == "" {
		*file = fmt.Sprintf("build/trials/causes-%d.csv", b.seed)
	}
	var before [][]string
	if b.rows, before, err = trial.Open(*file, b.seed, "case", "want", "right", "judged", "thresholds", "told", "clear", "fault", "starved"); err != nil {
		return err
	}
	if b.raw, err = trial.OpenFile(*file + ".jsonl"); err != nil {
		return errors.Join(err, b.rows.Close())
	}
	if b.lab, err = causes.NewLab(ctx, *exporter); err != nil {
		return errors.Join(err, b.rows.Close())
	}
	defer func() { _ = b.lab.Close() }()
	err = b.runAll(ctx, pick, *beside, before)
	b.print()
	return errors.Join(err, b.rows.Close(), b.raw.Close())
}

// runAll runs the cases that are picked, but for those of an earlier run: those that load
// the processors last, one by one.
func (b *batch) runAll(ctx context.Context, pick *regexp.Regexp, beside int, before [][]string) error {
	done := map[string]bool{}
	for _, x := range before {
		done[x[0]] = true
		b.all = append(b.all, parse(x))
	}
	list := b.shuffled(func(c causes.Case) bool { return !done[c.Name] && pick.MatchString(c.Name) })
	isHeavy := func(c causes.Case) bool { return c.Heavy() }
	heavy := slices.DeleteFunc(slices.Clone(list), func(c causes.Case) bool { return !isHeavy(c) })
	return errors.Join(b.runBeside(ctx, slices.DeleteFunc(list, isHeavy), beside), b.runBeside(ctx, heavy, 1))
}

// shuffled returns the cases that are wanted, in an order that the seed draws.
func (b *batch) shuffled(wanted func(causes.Case) bool) []causes.Case {
	list := slices.DeleteFunc(causes.Cases(), func(c causes.Case) bool { return !wanted(c) })
	rand.New(rand.NewPCG(b.seed, 5)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// runBeside runs cases side by side.
func (b *batch) runBeside(ctx context.Context, list []causes.Case, beside int) error {
	next := make(chan causes.Case, len(list))
	for _, c := range list {
		next <- c
	}
	close(next)
	var wg sync.WaitGroup
	errs := make([]error, beside)
	for i := range beside {
		wg.Go(func() {
			for c := range next {
				if ctx.Err() == nil {
					errs[i] = errors.Join(errs[i], b.run(ctx, c))
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (b *batch) run(ctx context.Context, c causes.Case) error {
	r, err := b.lab.Run(ctx, c, b.seed, causes.Usual())
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		fmt.Printf("%s: %v\n", c.Name, err)
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	x := []string{r.Case, r.Want, strconv.Itoa(r.Right), strconv.Itoa(r.Judged), strconv.Itoa(r.RightByThreshold), fmt.Sprintf("%.1f", r.Told), fmt.Sprintf("%.1f", r.Clear), r.Fault(), strconv.Itoa(r.Starved)}
	b.all = append(b.all, parse(x))
	b.all[len(b.all)-1].print()
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if b.verbose {
		for _, l := range r.Looks {
			fmt.Printf("  %6.1f  %-12s %-10s %s %s\n", l.At, l.Cause, l.Threshold, l.Sentence, l.Detail)
		}
	}
	_, err = b.raw.Write(append(raw, '\n'))
	return errors.Join(err, b.rows.Write(x...), b.rows.Flush())
}

func parse(x []string) row {
	n := func(i int) int { v, _ := strconv.Atoi(x[i]); return v }
	f := func(i int) float64 { v, _ := strconv.ParseFloat(x[i], 64); return v }
	return row{x[0], x[1], n(2), n(3), n(4), n(8), f(5), f(6), x[7]}
}

func (x *row) print() {
	fmt.Printf("%-52s %-13s %2d of %2d  thresholds %2d  told %5.1f s  clear %5.1f s  starved %2d  %s\n", x.name, x.want, x.right, x.judged, x.thresholds, x.told, x.clear, x.starved, x.fault)
}

// print prints the sums.
func (b *batch) print() {
	var right, judged, thresholds, healthy, alarms, whole, cases, late, starved int
	var told []float64
	for _, x := range b.all {
		starved += x.starved
		if x.want == "" {
			healthy += x.judged
			alarms += x.judged - x.right
			continue
		}
		cases++
		right, judged, thresholds = right+x.right, judged+x.judged, thresholds+x.thresholds
		if x.right == x.judged {
			whole++
		}
		if x.clear < 0 || x.clear > 60 {
			late++
		}
		if x.told >= 0 {
			told = append(told, x.told)
		}
	}
	slices.Sort(told)
	median := 0.0
	if len(told) > 0 {
		median = told[len(told)/2]
	}
	fmt.Printf("seed %d: %d of %d looks are right in %d cases (%d of them in all looks), thresholds alone %d; median until told %.1f s; %d not cleared in 60 s; %d causes told in %d looks at healthy apps; %d looks not judged: cpu, on a host without a processor left\n",
		b.seed, right, judged, cases, whole, thresholds, median, late, alarms, healthy, starved)
}
