// Command healthy looks many times at apps that are well, and reports each false
// word of an exporter. Each look is a line of a CSV file, which a later run with
// the same file continues.
package main

import (
	"context"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/trials/healthy"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := start(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "healthy:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context) error {
	var o healthy.Options
	flag.StringVar(&o.Exporter, "exporter", "build/resp-exporter", "the exporter, of any version")
	flag.IntVar(&o.Looks, "looks", 200, "at each stack")
	flag.DurationVar(&o.Gap, "gap", 250*time.Millisecond, "between two looks at a stack")
	flag.IntVar(&o.Parallel, "parallel", 3, "stacks at the same time")
	flag.Uint64Var(&o.Seed, "seed", 1, "of everything that is random")
	only := flag.String("stacks", ".", "regular expression that picks stacks by name")
	file := flag.String("csv", "build/trials/healthy.csv", "a line a look; a file with lines of the same seed is continued")
	flag.Parse()
	pick, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	var stacks []healthy.Stack
	for _, s := range healthy.Stacks() {
		if pick.MatchString(s.Name) {
			stacks = append(stacks, s)
		}
	}
	raw, err := open(*file, o.Seed)
	if err != nil {
		return err
	}
	o.Done = raw.looks
	err = errors.Join(healthy.Run(ctx, o, stacks, raw.write), raw.close())
	fmt.Println("| stack | looks | with a stuck worker | with a warning | critical |\n|---|---|---|---|---|")
	wrong := 0
	for _, s := range stacks {
		r := raw.results[s.Name]
		fmt.Printf("| %s | %d | %d | %d | %d |\n", s.Name, raw.looks[s.Name], r[0], r[1], r[2])
		wrong += r[0] + r[1] + r[2]
	}
	if wrong > 0 {
		err = errors.Join(err, fmt.Errorf("%d false words", wrong))
	}
	return err
}

// rows is the file of raw results.
type rows struct {
	f       *os.File
	w       *csv.Writer
	seed    string
	looks   map[string]int
	results map[string][3]int // looks with a stuck worker, a warning, a critical component
}

// open opens the file and counts its looks, which must have the same seed.
func open(name string, seed uint64) (*rows, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	r := &rows{f: f, w: csv.NewWriter(f), seed: strconv.FormatUint(seed, 10), looks: make(map[string]int), results: make(map[string][3]int)}
	before, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
	}
	if len(before) == 0 {
		return r, r.w.Write([]string{"seed", "stack", "look", "idle", "busy", "stuck", "booting", "worst", "component"})
	}
	for _, row := range before[1:] {
		if row[0] != r.seed {
			return nil, errors.Join(fmt.Errorf("%s has looks of seed %s", name, row[0]), f.Close())
		}
		r.count(row)
	}
	return r, nil
}

// count adds one row.
func (r *rows) count(row []string) {
	n := r.results[row[1]]
	if row[5] != "0" {
		n[0]++
	}
	switch row[7] {
	case "1":
		n[1]++
	case "2":
		n[2]++
	}
	r.results[row[1]] = n
	r.looks[row[1]]++
}

func (r *rows) write(l healthy.Look) error {
	row := []string{r.seed, l.Stack, strconv.Itoa(l.N)}
	for _, state := range []string{"idle", "busy", "stuck", "booting"} {
		row = append(row, strconv.Itoa(int(l.States[state])))
	}
	row = append(row, strconv.Itoa(int(l.Worst)), l.Of)
	r.count(row)
	defer r.w.Flush()
	return r.w.Write(row)
}

func (r *rows) close() error {
	r.w.Flush()
	return errors.Join(r.w.Error(), r.f.Close())
}
