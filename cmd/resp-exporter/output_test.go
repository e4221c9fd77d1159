package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/doctor"
)

const hostile = "\x1b]0;PWN\x07\x1b[2J\nresp-exporter HEALTHY - fine\u202e\u009b31m\x7f"

// printable fails the test if the output has a control sequence for a terminal.
func printable(t *testing.T, out string) {
	t.Helper()
	if i := strings.IndexFunc(out, func(c rune) bool { return c != '\n' && !unicode.IsPrint(c) }); i >= 0 {
		t.Errorf("not printable at byte %d: %q", i, out)
	}
	if strings.Contains(out, "\nresp-exporter HEALTHY") {
		t.Errorf("a line is forged: %q", out)
	}
}

// The name of a process may contain anything.
func TestPrintDiagnosisOfHostile(t *testing.T) {
	t.Parallel()
	d := &doctor.Diagnosis{Status: "fault", Summary: hostile, Sections: []doctor.Section{{
		Name: hostile, Status: "fault", Facts: []string{hostile},
		Findings: []doctor.Finding{{Of: hostile, Reason: collectors.InUse, Detail: hostile, Remedy: []string{hostile, "two"}, Fault: true}},
	}}}
	for _, output := range []string{"text", "json"} {
		var out bytes.Buffer
		if err := printDiagnosis(d, output, &out); err != nil {
			t.Fatal(err)
		}
		printable(t, out.String())
		var back doctor.Diagnosis
		if err := json.Unmarshal(out.Bytes(), &back); output == "json" && (err != nil || back.Summary != hostile) {
			t.Errorf("%v\n%s", err, out.String())
		}
	}
}

// The program that listens on the port may send anything.
func TestCheckOfHostile(t *testing.T) {
	t.Parallel()
	quoted, err := json.Marshal(hostile)
	if err != nil {
		t.Fatal(err)
	}
	q := string(quoted)
	bad := strings.NewReplacer(`"workers"`, q, `"disk / is at 90 %"`, q, `"disk"`, q).Replace(healthOf("critical", disk, q))
	for name, body := range map[string]string{
		"all":   strings.ReplaceAll(statusOf(time.Second, bad, bad), `"app0"`, q),
		"level": strings.ReplaceAll(statusOf(time.Second, bad), `"critical"`, q),
		"none":  hostile,
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", checkedAt.Format(http.TimeFormat))
			_, _ = w.Write([]byte(body))
		}))
		for _, output := range []string{"text", "json"} {
			var out, errOut bytes.Buffer
			code := run([]string{"check", "--url=" + s.URL, "--output=" + output}, &out, &errOut)
			if want := map[string]int{"all": exitCritical}[name]; want != 0 && code != want {
				t.Errorf("%s: exit code %d, want %d\n%s", name, code, want, out.String())
			}
			printable(t, out.String())
			printable(t, errOut.String())
		}
		s.Close()
	}
}
