package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/resp-exporter/resp-exporter/internal/leak"
	"github.com/resp-exporter/resp-exporter/internal/leak/trace"
)

// leakOptions are the settings of the command leak.
type leakOptions struct {
	files   []string
	csv     bool
	latched bool
}

// leakFlags adds the command leak. It returns a map of the command's full name to its
// options, as checkFlags does.
func leakFlags(k *kingpin.Application) map[string]*leakOptions {
	o := &leakOptions{}
	c := k.Command("leak", "Report whether memory traces of processes show a leak: files with the columns "+trace.Header+", which may be compressed with gzip. Exit code 1 if one cannot be read.")
	c.Arg("file", "Trace.").Required().StringsVar(&o.files)
	c.Flag("csv", "Print trace,verdict,detected_at_s,slope_bytes_per_s; --no-csv prints sentences.").Default("true").BoolVar(&o.csv)
	c.Flag("latched", "The verdict is leak if an alarm was ever raised, not only if one stands at the end.").BoolVar(&o.latched)
	return map[string]*leakOptions{c.FullCommand(): o}
}

// judgeTraces writes the verdict on each trace to stdout and returns the exit code: 0, or
// 1 if a file cannot be read, after which the others are still evaluated, or if the CSV
// cannot be written.
func judgeTraces(o leakOptions, stdout, stderr io.Writer) int {
	code := 0
	w := csv.NewWriter(stdout)
	if o.csv {
		_ = w.Write([]string{"trace", "verdict", "detected_at_s", "slope_bytes_per_s"})
	}
	for _, path := range o.files {
		v, err := judgeTrace(path)
		switch {
		case err != nil:
			printLine(stderr, "resp-exporter: %s: %v", path, err)
			code = 1
		case o.csv:
			_ = w.Write(leakRow(traceName(path), &v, o.latched))
		default:
			printLine(stdout, "%s", leakSentence(traceName(path), &v, o.latched))
		}
	}
	w.Flush()
	if err := w.Error(); err != nil {
		printLine(stderr, "resp-exporter: print the verdicts: %v", err)
		return 1
	}
	return code
}

// judgeTrace returns the verdict on the trace in a file. An error of opening it is without
// its path.
func judgeTrace(path string) (leak.Verdict, error) {
	f, err := os.Open(path) //nolint:gosec // a file that the user names
	if err != nil {
		if p, ok := errors.AsType[*os.PathError](err); ok {
			err = p.Err
		}
		return leak.Verdict{}, err
	}
	defer func() { _ = f.Close() }()
	return trace.Judge(f)
}

// traceName returns the name of a file without its folder and its ending.
func traceName(path string) string {
	return strings.TrimSuffix(strings.TrimSuffix(filepath.Base(path), ".gz"), ".csv")
}

// raised returns when the alarm that counts was raised, in seconds of the trace, and
// whether there is one. latched: the first alarm counts, else the one that stands at the
// end.
func raised(v *leak.Verdict, latched bool) (float64, bool) {
	at := v.Since
	if latched {
		at = v.First
	}
	return at, !math.IsNaN(at)
}

// leakRow returns the columns of one trace: its name, ok or leak, and for a leak the time
// of the alarm in seconds and the slope in bytes per second.
func leakRow(name string, v *leak.Verdict, latched bool) []string {
	at, ok := raised(v, latched)
	if !ok {
		return []string{name, "ok", "", ""}
	}
	return []string{name, "leak", strconv.FormatFloat(at, 'f', 1, 64), strconv.FormatFloat(v.Slope, 'f', 3, 64)}
}

// leakSentence returns the verdict on one trace as a line of text.
func leakSentence(name string, v *leak.Verdict, latched bool) string {
	at, ok := raised(v, latched)
	if !ok {
		return name + ": no leak"
	}
	s := fmt.Sprintf("%s: leaks %.0f bytes a second since the alarm at %.0f s (confidence %.2f)", name, v.Slope, at, v.Confidence)
	if !math.IsNaN(v.BytesPerRequest) {
		s += fmt.Sprintf(", %.0f bytes a request", v.BytesPerRequest)
	}
	if v.Recycled {
		s += ", over the lives of several processes"
	}
	return s
}
