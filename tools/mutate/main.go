// Command mutate measures what the tests notice: it plants faults in functions that
// are drawn by a seed, one fault in each, and runs the tests of their packages and
// of the packages that import them. The tree itself is never changed: the compiler
// reads the changed file in place of the original (go help build, -overlay).
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type options struct {
	dir     string // of the module
	seed    uint64
	n       int
	out     string // the file of results
	again   bool
	share   float64 // of the faults that tests have to notice
	timeout time.Duration
	pkgs    []string
	flags   string // the user's GOFLAGS
}

func main() {
	opt := options{dir: "."}
	flag.StringVar(&opt.dir, "C", ".", "directory of the module")
	flag.Uint64Var(&opt.seed, "seed", 1, "draws functions and faults")
	flag.IntVar(&opt.n, "n", 40, "number of faults, one a function")
	flag.StringVar(&opt.out, "out", "", "file of results; what is in it is not tried again")
	flag.BoolVar(&opt.again, "again", false, "try the faults again that no test noticed")
	flag.Float64Var(&opt.share, "share", 0.9, "exit with 1 if the tests notice a smaller share of the faults")
	flag.DurationVar(&opt.timeout, "timeout", 3*time.Minute, "longest run of the tests of one package; a fault that makes it longer is noticed")
	flag.Parse()
	opt.pkgs = flag.Args()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	share, err := trial(ctx, opt, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(2)
	}
	if share < opt.share {
		os.Exit(1)
	}
}

// trial plants the faults, writes one line a fault to w and to the file of results, and
// returns the share that a test noticed, 0 to 1.
func trial(ctx context.Context, opt options, w io.Writer) (float64, error) {
	done, file, err := results(opt)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	if opt.flags, err = userFlags(ctx); err != nil {
		return 0, err
	}
	list, err := packages(ctx, opt.dir)
	if err != nil {
		return 0, err
	}
	drawn, err := draw(ctx, opt, list)
	if err != nil {
		return 0, err
	}
	// A test that fails without a fault would notice all of them.
	if out := run(ctx, opt, "", append([]string{"test", "-vet=off"}, tested(list, drawn)...)...); out != "" {
		return 0, fmt.Errorf("tests fail without a fault:\n%s", out)
	}
	caught, tried, err := tryAll(ctx, opt, list, drawn, done, io.MultiWriter(w, file), w)
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(w, "seed %d: %d of %d faults noticed by a test\n", opt.seed, caught, tried)
	return float64(caught) / float64(max(1, tried)), nil
}

// tryAll tries the functions in their order until there are n results. It writes new
// results to fresh, those of an earlier run to known. It returns how many faults a test
// noticed, and how many were tried.
func tryAll(ctx context.Context, opt options, list []goPackage, drawn []function, done map[string]string, fresh, known io.Writer) (caught, tried int, err error) {
	for _, f := range drawn {
		if tried == opt.n {
			break
		}
		line, w := done[f.pkg+"."+f.name], known
		if line == "" {
			if line, err = try(ctx, opt, list, f); err != nil {
				return caught, tried, err
			}
			w = fresh
		}
		if line == "" { // nothing that compiles
			continue
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return caught, tried, fmt.Errorf("writing a result: %w", err)
		}
		if tried++; !strings.HasPrefix(line, "missed") {
			caught++
		}
	}
	return caught, tried, nil
}

// results returns the lines of an earlier run by function, and the file to append to.
// Without a file of results there are none, and what is appended is discarded.
func results(opt options) (map[string]string, *os.File, error) {
	done := map[string]string{}
	if opt.out == "" {
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		return done, null, err
	}
	old, err := os.ReadFile(opt.out)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("reading the results so far: %w", err)
	}
	for line := range strings.Lines(string(old)) {
		line = strings.TrimRight(line, "\n")
		cells := strings.Split(line, "\t")
		if len(cells) > 2 && (cells[0] != "missed" || !opt.again) {
			done[cells[1]+"."+cells[2]] = line
		}
	}
	if err := os.MkdirAll(filepath.Dir(opt.out), 0o755); err != nil {
		return nil, nil, fmt.Errorf("making the directory of results: %w", err)
	}
	file, err := os.OpenFile(opt.out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the file of results: %w", err)
	}
	return done, file, nil
}

// userFlags returns the user's GOFLAGS.
func userFlags(ctx context.Context) (string, error) {
	flags, err := exec.CommandContext(ctx, "go", "env", "GOFLAGS").Output()
	if err != nil {
		return "", fmt.Errorf("reading GOFLAGS: %w", err)
	}
	return strings.TrimSpace(string(flags)), nil
}

// goPackage is what `go list -json` says of a package.
type goPackage struct {
	ImportPath, Dir                             string
	GoFiles, Imports, TestImports, XTestImports []string
	TestGoFiles, XTestGoFiles                   []string
}

// packages returns what `go list` says about the packages of the module that match
// patterns; all without patterns.
func packages(ctx context.Context, dir string, patterns ...string) ([]goPackage, error) {
	if len(patterns) == 0 {
		patterns = []string{"./..."}
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-json"}, patterns...)...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing packages: %w", err)
	}
	var all []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading the list of packages: %w", err)
		}
		all = append(all, p)
	}
}

// draw returns the functions of the given packages in the order of the seed.
// Packages that exist for tests (their names end with test) are left out.
func draw(ctx context.Context, opt options, list []goPackage) ([]function, error) {
	wanted, err := packages(ctx, opt.dir, opt.pkgs...)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 || len(wanted) == 0 {
		return nil, errors.New("no packages to plant faults in")
	}
	var all []function
	for _, p := range wanted {
		if strings.HasSuffix(p.ImportPath, "test") {
			continue
		}
		for _, name := range p.GoFiles {
			fns, err := functions(p.ImportPath, filepath.Join(p.Dir, name))
			if err != nil {
				return nil, err
			}
			all = append(all, fns...)
		}
	}
	slices.SortStableFunc(all, func(a, b function) int { return cmp.Compare(a.hash(opt.seed), b.hash(opt.seed)) })
	return all, nil
}

// try plants the first fault of a function that compiles and returns the line of the
// result, "" if none compiles: caught, timeout or missed, package, function, place, kind,
// before, after, package and test that noticed it, seconds.
func try(ctx context.Context, opt options, list []goPackage, f function) (string, error) {
	src, err := os.ReadFile(f.file)
	if err != nil {
		return "", fmt.Errorf("reading a file to plant a fault in: %w", err)
	}
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return "", fmt.Errorf("making a directory for the changed file: %w", err)
	}
	defer os.RemoveAll(dir)
	for _, m := range f.ordered(opt.seed) {
		overlay, err := write(dir, f.file, plant(src, m))
		if err != nil {
			return "", err
		}
		if run(ctx, opt, overlay, "build", f.pkg) != "" {
			continue
		}
		start := time.Now()
		result, where := judge(ctx, opt, overlay, list, f.pkg)
		if ctx.Err() != nil {
			return "", fmt.Errorf("interrupted: %w", ctx.Err())
		}
		before, after := oneLine(src, m)
		place := filepath.Base(f.file) + ":" + strconv.Itoa(m.line)
		seconds := strconv.Itoa(int(time.Since(start).Seconds()))
		return strings.Join([]string{result, f.pkg, f.name, place, m.kind, before, after, where, seconds}, "\t"), nil
	}
	return "", nil
}

// write writes the changed file and returns the name of the overlay that replaces the
// original by it.
func write(dir, original string, src []byte) (string, error) {
	changed, overlay := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(map[string]map[string]string{"Replace": {original: changed}})
	if err == nil {
		err = errors.Join(os.WriteFile(changed, src, 0o600), os.WriteFile(overlay, text, 0o600))
	}
	if err != nil {
		return "", fmt.Errorf("writing the changed file: %w", err)
	}
	return overlay, nil
}

// judge runs the tests of a package, then those of the packages that import it,
// until one fails. It returns caught or timeout with the package and the test that
// failed, or missed.
func judge(ctx context.Context, opt options, overlay string, list []goPackage, pkg string) (result, where string) {
	for _, p := range append([]string{pkg}, importers(list, pkg)...) {
		out := run(ctx, opt, overlay, "test", "-vet=off", "-failfast", "-timeout", opt.timeout.String(), p)
		if strings.Contains(out, "panic: test timed out") {
			return "timeout", p
		}
		if out != "" {
			return "caught", p + " " + failed(out)
		}
	}
	return "missed", ""
}

// failed returns the name of the first test that failed, by the output of go test; "" if
// the output names none.
func failed(out string) string {
	_, after, _ := strings.Cut(out, "--- FAIL: ")
	name, _, _ := strings.Cut(after, " ")
	return name
}

// tested returns the packages whose tests are run for at least one of the functions,
// sorted, each once.
func tested(list []goPackage, drawn []function) []string {
	var all []string
	for _, f := range drawn {
		if !slices.Contains(all, f.pkg) {
			all = append(append(all, f.pkg), importers(list, f.pkg)...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// importers returns the packages with tests that import pkg, or whose tests do.
func importers(list []goPackage, pkg string) []string {
	var all []string
	for _, p := range list {
		uses := slices.Contains(slices.Concat(p.Imports, p.TestImports, p.XTestImports), pkg)
		if uses && p.ImportPath != pkg && len(p.TestGoFiles)+len(p.XTestGoFiles) > 0 {
			all = append(all, p.ImportPath)
		}
	}
	return all
}

// run runs the go command with an overlay and returns its output, "" if it succeeded.
// The overlay is in GOFLAGS: what a test builds by itself has the fault too.
func run(ctx context.Context, opt options, overlay string, args ...string) string {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = opt.dir
	cmd.Env = append(os.Environ(), "GOFLAGS="+strings.TrimSpace(opt.flags+" -overlay="+overlay))
	out, err := cmd.CombinedOutput()
	if err == nil {
		return ""
	}
	return string(out) + err.Error()
}
