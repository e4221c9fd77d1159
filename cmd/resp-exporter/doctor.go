package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/app"
	"github.com/resp-exporter/resp-exporter/internal/doctor"
)

// doctorOptions are the settings of the command doctor.
type doctorOptions struct {
	output string // "text" or "json"
}

// examine reads everything that the exporter would read, prints what is missing and its
// remedy, and returns the exit code: 0 if all that is configured works, 1 if not, or if
// the configuration cannot be loaded or the findings not printed.
func examine(o app.Options, d doctorOptions, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	found, err := app.Diagnose(ctx, o)
	if err != nil {
		fmt.Fprintln(stderr, "resp-exporter:", err) // of the configuration, which is trusted and may need several lines
		return 1
	}
	if err := printDiagnosis(found, d.output, stdout); err != nil {
		printLine(stderr, "resp-exporter: print the findings: %v", err)
		return 1
	}
	if found.Status != "ok" {
		return 1
	}
	return 0
}

// printDiagnosis writes a diagnosis to w, as JSON or, for any other output, as lines of
// text, in which a remedy that several findings share is printed once.
func printDiagnosis(found *doctor.Diagnosis, output string, w io.Writer) error {
	if output == "json" {
		return printJSON(found, w)
	}
	var b lines
	b.add("resp-exporter %s - %s", strings.ToUpper(found.Status), found.Summary)
	printed := make(map[string]string) // remedies, and the section where they were printed
	for i := range found.Sections {
		s := &found.Sections[i]
		b.add("%s: %s", s.Name, s.Status)
		for _, f := range s.Facts {
			b.add("  %s", f)
		}
		for j := range s.Findings {
			printFinding(&b, s.Name, &s.Findings[j], printed)
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// printFinding writes a finding and its remedies. Those that were printed before
// are not printed again: one missing capability affects many collectors.
func printFinding(b *lines, section string, f *doctor.Finding, printed map[string]string) {
	word := "note"
	if f.Fault {
		word = "fault"
	}
	if f.Reason != collectors.OK {
		word += ", " + string(f.Reason)
	}
	b.add("  %s: %s", word, f.Detail)
	key := strings.Join(f.Remedy, "\n")
	if where, ok := printed[key]; ok && key != "" {
		b.add("    remedy: same as in section %s", where)
		return
	}
	printed[key] = section
	for i, c := range f.Remedy {
		lead := "remedy"
		if i > 0 {
			lead = "    or"
		}
		b.add("    %s: %s", lead, c)
	}
}
