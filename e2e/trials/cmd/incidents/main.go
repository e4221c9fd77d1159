// Command incidents makes ten faults of one app, one after another, on real servers, and
// compares the incidents that the exporter has recorded. In one of them the exporter is
// killed by SIGKILL and started again.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/trials/causes"
	"github.com/resp-exporter/resp-exporter/e2e/trials/trial"
)

const (
	// near is how far a time may be from the truth.
	near = 5 * time.Second
	// most is how much of the history a SIGKILL may take: the last second, and what a busy
	// machine delays a sample.
	most = 1500 * time.Millisecond
)

func main() { trial.Main("incidents", start) }

func start(ctx context.Context) error {
	exporter := flag.String("exporter", "build/resp-exporter", "the exporter")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the order and the times")
	fault := flag.Duration("fault", 40*time.Second, "length of a fault, a tenth more or less")
	calm := flag.Duration("calm", 45*time.Second, "time between two faults, a tenth more or less")
	flag.Parse()
	fmt.Println("seed", *seed)
	lab, err := causes.NewLab(ctx, *exporter)
	if err != nil {
		return err
	}
	defer func() { _ = lab.Close() }()
	times := causes.Usual()
	times.Fault, times.Clear = *fault, *calm
	s, err := lab.Sequence(ctx, *seed, times, func(f causes.Fault) {
		fmt.Printf("%s  %-40s %-12s %4.0f s\n", f.From.Format(time.TimeOnly), f.Name, f.Want, f.To.Sub(f.From).Seconds())
	})
	if err != nil {
		return err
	}
	return compare(&s)
}

// compare prints each fault beside its record.
func compare(s *causes.Sequence) error {
	wrong, left := 0, slices.Clone(s.Records)
	for _, f := range s.Faults {
		what, ok := "no record", false
		if at := nearest(left, &f); at >= 0 {
			what, ok = beside(&f, &left[at])
			left = slices.Delete(left, at, at+1)
		}
		if !ok {
			wrong++
		}
		fmt.Printf("%-5t %-40s %-12s %s\n", ok, f.Name, f.Want, what)
	}
	for _, x := range left {
		fmt.Printf("one more record: %s\n", x.ID)
	}
	fmt.Printf("%d records of %d faults, %d wrong; killed in fault %d, %.1f s of the history were lost\n", len(s.Records), len(s.Faults), wrong, s.Killed+1, s.Lost.Seconds())
	var err error
	if len(s.Records) != len(s.Faults) || wrong > 0 {
		err = fmt.Errorf("%d records of %d faults, %d wrong", len(s.Records), len(s.Faults), wrong)
	}
	if s.Lost > most {
		err = errors.Join(err, fmt.Errorf("%s of the history were lost", s.Lost))
	}
	return err
}

// nearest returns the record whose begin is the nearest to that of a fault, and that is no
// longer away than a fault lasts; -1 for none.
func nearest(list []causes.Incident, f *causes.Fault) int {
	at, best := -1, f.To.Sub(f.From)
	for i := range list {
		if d := list[i].Start.Sub(f.From).Abs(); d < best {
			at, best = i, d
		}
	}
	return at
}

// beside compares a record with its fault.
func beside(f *causes.Fault, x *causes.Incident) (string, bool) {
	cause := "none"
	if x.Cause != nil {
		cause = *x.Cause
	}
	start, end := x.Start.Sub(f.From), time.Duration(0)
	what := "open"
	if x.End != nil {
		end = x.End.Sub(f.To)
		what = fmt.Sprintf("end %+5.1f s", end.Seconds())
	}
	ok := x.End != nil && cause == f.Want && start.Abs() <= near && end.Abs() <= near
	if x.Interrupted {
		what += ", interrupted"
	}
	return fmt.Sprintf("%-12s start %+5.1f s, %s", cause, start.Seconds(), what), ok
}
