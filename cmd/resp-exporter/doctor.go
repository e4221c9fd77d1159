package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/app"
)

// doctorOptions are the settings of the command doctor.
type doctorOptions struct {
	output string // "text" or "json"
}

// examine looks at all that the exporter would look at, prints what is missing
// and how it is cured, and returns the exit code: 0 if all that is configured
// works, 1 if not, or if the configuration cannot be loaded.
func examine(o app.Options, d doctorOptions, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	found, err := app.Diagnose(ctx, o)
	if err != nil {
		fmt.Fprintln(stderr, "resp-exporter:", err)
		return 1
	}
	if err := printDiagnosis(found, d.output, stdout); err != nil {
		fmt.Fprintln(stderr, "resp-exporter: print what was found:", err)
		return 1
	}
	if found.Status != "ok" {
		return 1
	}
	return 0
}

func printDiagnosis(found *app.Diagnosis, output string, w io.Writer) error {
	if output == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(found)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "resp-exporter %s - %s\n", strings.ToUpper(found.Status), found.Summary)
	told := make(map[string]string) // cures, and where they were printed
	for i := range found.Sections {
		s := &found.Sections[i]
		fmt.Fprintf(&b, "%s: %s\n", s.Name, s.Status)
		for _, f := range s.Facts {
			fmt.Fprintf(&b, "  %s\n", f)
		}
		for j := range s.Findings {
			printFinding(&b, s.Name, &s.Findings[j], told)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printFinding writes a finding and its cures. Those that were printed before
// are not printed again: one missing capability is missed by many.
func printFinding(b *strings.Builder, section string, f *app.Finding, told map[string]string) {
	word := "note"
	if f.Fault {
		word = "fault"
	}
	if f.Reason != collectors.OK {
		word += ", " + string(f.Reason)
	}
	fmt.Fprintf(b, "  %s: %s\n", word, f.Detail)
	key := strings.Join(f.Cure, "\n")
	if where, ok := told[key]; ok && key != "" {
		fmt.Fprintf(b, "    cure: as above, of %s\n", where)
		return
	}
	told[key] = section
	for i, c := range f.Cure {
		lead := "cure"
		if i > 0 {
			lead = "  or"
		}
		fmt.Fprintf(b, "    %s: %s\n", lead, c)
	}
}
