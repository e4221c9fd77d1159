// Package stacks looks at threads of Python programs that record where they are, many
// thousand times, and counts which stacks were believed and which were wrong.
package stacks

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/pystacktest"
)

// patience is how long a program may take to start.
const patience = time.Minute

// Python is an interpreter: its command, and the name under which its results are.
type Python struct {
	Name    string
	Command []string
}

// Pythons returns Debian's interpreter, those of pyenv below home, and those in
// each directory that has an unpacked Debian.
func Pythons(home string, roots []string) ([]Python, error) {
	found := []Python{{"debian", []string{"/usr/bin/python3"}}}
	paths, err := filepath.Glob(filepath.Join(home, ".pyenv/versions/3.*/bin/python3"))
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		name := filepath.Base(filepath.Dir(filepath.Dir(path)))
		var minor int
		if _, err := fmt.Sscanf(name, "3.%d.", &minor); err == nil && minor >= 8 {
			found = append(found, Python{name, []string{path}})
		}
	}
	for _, root := range roots {
		paths, err := filepath.Glob(filepath.Join(root, "usr/bin/python3.*[0-9]"))
		if err != nil {
			return nil, err
		}
		if len(paths) == 0 {
			return nil, fmt.Errorf("%s has no usr/bin/python3.N", root)
		}
		for _, path := range paths {
			base := filepath.Base(path)
			found = append(found, Python{filepath.Base(root) + "/" + base, []string{"chroot", root, "/usr/bin/" + base}})
		}
	}
	return found, nil
}

// Kinds returns the kinds of threads: those that wait in ways of which the interpreter
// itself knows each line, that sleep long, that sleep shortly and compute, that only
// compute, that only call small functions, and several that only compute.
func Kinds() []string {
	return []string{"waiting", "blocked", "alternating", "spinning", "tight", "contending"}
}

// Batch is what came of a number of looks at one program.
type Batch struct {
	Python, Version, Kind    string
	N                        int
	Looks                    int
	OK, Frozen, Running, Bad int // Bad: torn, and all other outcomes
	Wrong                    int
	Example                  string // of what was wrong
}

// Run returns what a number of looks at the n-th program of a kind found. The seed determines
// what the program does and when it is looked at.
func Run(ctx context.Context, python Python, kind string, n, looks int, seed uint64) (Batch, error) {
	b := Batch{Python: python.Name, Kind: kind, N: n}
	rng := rand.New(rand.NewPCG(seed, uint64(n)))
	look, pid, stop, err := program(ctx, python, kind, rng.Uint64N(1<<32))
	if err != nil {
		return b, fmt.Errorf("%s, %s: %w", python.Name, kind, err)
	}
	defer stop()
	p, err := open(ctx, pid)
	if err != nil {
		return b, fmt.Errorf("%s, %s: %w", python.Name, kind, err)
	}
	defer p.Close()
	b.Version = p.Version().String()
	var s pystack.Stack
	for range looks {
		if ctx.Err() != nil {
			return b, ctx.Err()
		}
		out, wrong := look(p, rng, &s)
		b.add(out, s.Frozen, wrong)
		time.Sleep(time.Duration(rng.IntN(300)) * time.Microsecond)
	}
	return b, nil
}

// add counts one look. wrong says what was wrong with it, "" nothing.
func (b *Batch) add(out pystack.Outcome, frozen bool, wrong string) {
	b.Looks++
	switch {
	case out == pystack.OK && frozen:
		b.OK++
		b.Frozen++
	case out == pystack.OK:
		b.OK++
	case out == pystack.Running:
		b.Running++
	default:
		b.Bad++
	}
	if wrong != "" {
		b.Wrong++
		b.Example = wrong
	}
}

type look func(*pystack.Process, *rand.Rand, *pystack.Stack) (pystack.Outcome, string)

// program starts a program and returns how one of its threads is looked at.
func program(ctx context.Context, python Python, kind string, seed uint64) (look, int, func(), error) {
	if kind == "waiting" {
		return waiting(ctx, python)
	}
	mode, threads := kind, 3
	switch kind {
	case "spinning", "tight":
		threads = 1
	case "contending":
		mode = "spinning"
	}
	m, err := pystacktest.StartMoving(ctx, python.Command, seed, mode, threads)
	if err != nil {
		return nil, 0, nil, err
	}
	return func(p *pystack.Process, rng *rand.Rand, s *pystack.Stack) (pystack.Outcome, string) {
		return m.Look(p, rng.IntN(threads), s)
	}, m.PID(), m.Stop, nil
}

// waiting starts the program whose threads wait. They may not wait yet when the program
// reports where they are: the first looks wait for that.
func waiting(ctx context.Context, python Python) (look, int, func(), error) {
	py, err := pystacktest.StartBlocked(ctx, python.Command)
	if err != nil {
		return nil, 0, nil, err
	}
	var all pystacktest.Blocked
	if err := py.Read(&all); err != nil {
		py.Stop()
		return nil, 0, nil, err
	}
	tids := make([]int, 0, len(all.Threads))
	for tid := range all.Threads {
		tids = append(tids, tid)
	}
	slices.Sort(tids)
	return func(p *pystack.Process, rng *rand.Rand, s *pystack.Stack) (pystack.Outcome, string) {
		tid := tids[rng.IntN(len(tids))]
		out := p.Look(tid, s)
		if out != pystack.OK {
			return out, ""
		}
		return out, pystacktest.Differs(s, all.Threads[tid])
	}, py.PID(), py.Stop, nil
}

// open returns the interpreter of a process as soon as it can be read, or the last error
// when the patience or ctx has ended.
func open(ctx context.Context, pid int) (*pystack.Process, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		p, err := pystack.Open(procfs.New("/proc"), pid, pystack.NewCache())
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return p, errors.Join(err, ctx.Err())
		}
	}
}

// Table writes the sums by interpreter and kind, and returns the results that must not
// occur.
func Table(batches []Batch) (text string, faults []string) {
	var sums []Batch
	for _, b := range batches {
		i := slices.IndexFunc(sums, func(s Batch) bool { return s.Python == b.Python && s.Kind == b.Kind })
		if i < 0 {
			sums = append(sums, Batch{Python: b.Python, Version: b.Version, Kind: b.Kind})
			i = len(sums) - 1
		}
		s := &sums[i]
		s.Looks, s.OK, s.Frozen, s.Running, s.Bad, s.Wrong = s.Looks+b.Looks, s.OK+b.OK, s.Frozen+b.Frozen, s.Running+b.Running, s.Bad+b.Bad, s.Wrong+b.Wrong
		if b.Example != "" {
			s.Example = b.Example
		}
	}
	var w strings.Builder
	fmt.Fprintf(&w, "%-18s %-8s %-12s %7s %9s %9s %8s %6s %6s\n", "python", "version", "kind", "looks", "believed", "proven", "running", "torn", "wrong")
	for _, s := range sums {
		fmt.Fprintf(&w, "%-18s %-8s %-12s %7d %8.2f%% %8.2f%% %8d %6d %6d\n",
			s.Python, s.Version, s.Kind, s.Looks, percent(s.OK, s.Looks), percent(s.Frozen, s.Looks), s.Running, s.Bad, s.Wrong)
		if s.Wrong > 0 {
			faults = append(faults, fmt.Sprintf("%s, %s: %d wrong, such as: %s", s.Python, s.Kind, s.Wrong, s.Example))
		}
		if least := atLeast(s.Version, s.Kind); percent(s.OK, s.Looks) < least {
			faults = append(faults, fmt.Sprintf("%s, %s: %.2f %% believed, at least %.0f %% are wanted", s.Python, s.Kind, percent(s.OK, s.Looks), least))
		}
	}
	return w.String(), faults
}

func percent(n, of int) float64 { return 100 * float64(n) / float64(max(of, 1)) }

// atLeast returns which share of the looks is to be believed, in percent. A
// thread that spins is hard to see before 3.11.
func atLeast(version, kind string) float64 {
	var minor int
	_, _ = fmt.Sscanf(version, "3.%d", &minor)
	switch kind {
	case "waiting", "blocked":
		return 99
	case "alternating":
		return 60
	}
	if minor >= 11 {
		return 50
	}
	return 0
}

// Home returns the directory below which pyenv is.
func Home() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return "/root"
	}
	return home
}
