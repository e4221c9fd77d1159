package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/doctor"
)

func TestDoctor(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return "--config.file=" + path
	}
	const quiet = "statsd: {listen: []}\n"
	here := "--web.listen-address=127.0.0.1:0"
	for name, c := range map[string]struct {
		args        []string
		code        int
		out, errOut string // what they hold
	}{
		"well":            {[]string{"doctor", here, file("well.yml", quiet)}, 0, "resp-exporter OK - everything that is configured works", ""},
		"defaults off":    {[]string{"doctor", here, "--collector.disable-defaults", "--collector.host", file("well.yml", quiet)}, 0, "mysql: off\n", ""},
		"no such app":     {[]string{"doctor", here, file("app.yml", quiet+"apps: [{name: gone, match: {cmdline: \"no such program\"}}]\n")}, 1, "  fault, not_found: no process found for gone", ""},
		"nobody there":    {[]string{"doctor", here, file("redis.yml", quiet+"redis: [{name: cache, url: \"redis://zoe:s3cret@127.0.0.1:1\"}]\n")}, 1, "  fault, not_found: redis cache does not listen at its address\n    remedy: systemctl status redis-server", ""},
		"bad file":        {[]string{"doctor", file("bad.yml", "colour: red\n")}, 1, "", "bad.yml:1: colour: unknown key"},
		"no file":         {[]string{"doctor", "--config.file=" + dir + "/none.yml"}, 1, "", "none.yml"},
		"unknown flag":    {[]string{"doctor", "--docter"}, 2, "", "unknown long flag"},
		"unknown printer": {[]string{"doctor", "--output=xml"}, 2, "", "must be one of text,json"},
		"only a check":    {[]string{"doctor", "--config.check", file("well.yml", quiet)}, 0, "configuration is valid", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, errOut bytes.Buffer
			if code := run(c.args, &out, &errOut); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if !strings.Contains(out.String(), c.out) || c.out == "" && out.Len() > 0 {
				t.Errorf("standard output has no %q:\n%s", c.out, out.String())
			}
			if !strings.Contains(errOut.String(), c.errOut) || c.errOut == "" && errOut.Len() > 0 {
				t.Errorf("standard error has no %q:\n%s", c.errOut, errOut.String())
			}
			if strings.Contains(out.String()+errOut.String(), "s3cret") {
				t.Error("a password is printed")
			}
		})
	}
}

// A remedy that several findings share is printed once.
func TestPrintDiagnosis(t *testing.T) {
	finding := func(detail string, reason collectors.Reason, isFault bool, remedy ...string) doctor.Finding {
		return doctor.Finding{Reason: reason, Detail: detail, Fault: isFault, Remedy: append([]string{}, remedy...)}
	}
	d := &doctor.Diagnosis{Status: "fault", Summary: "1 thing that is configured cannot work, 3 notes", Sections: []doctor.Section{
		{Name: "exporter", Status: "ok", Facts: []string{"runs as zoe (uid 5)"}},
		{Name: "process", Status: "fault", Findings: []doctor.Finding{finding("no", collectors.Permission, true, "one", "two"), finding("so it is", collectors.OK, false)}},
		{Name: "workers", Status: "note", Findings: []doctor.Finding{finding("no too", collectors.Permission, false, "one", "two"), finding("so it is too", collectors.OK, false)}},
	}}
	var out bytes.Buffer
	if err := printDiagnosis(d, "text", &out); err != nil {
		t.Fatal(err)
	}
	const want = `resp-exporter FAULT - 1 thing that is configured cannot work, 3 notes
exporter: ok
  runs as zoe (uid 5)
process: fault
  fault, permission: no
    remedy: one
        or: two
  note: so it is
workers: note
  note, permission: no too
    remedy: same as in section process
  note: so it is too
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	out.Reset()
	if err := printDiagnosis(d, "json", &out); err != nil {
		t.Fatal(err)
	}
	var back doctor.Diagnosis
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back.Sections[1].Findings[0].Remedy[1] != "two" {
		t.Errorf("%v\n%s", err, out.String())
	}
	if err := printDiagnosis(d, "text", full{}); err == nil {
		t.Error("what could not be printed is no error")
	}
}

// full is a disk without space.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }
