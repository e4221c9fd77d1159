package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
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
	text := newPrinted(t, "doctor.golden")
	for name, c := range map[string]struct {
		args  []string
		code  int
		fault string // the section and the reason of the first fault; "none": it found none; "": no diagnosis is printed
	}{
		"well":            {[]string{"doctor", here, file("well.yml", quiet)}, 0, "none"},
		"defaults off":    {[]string{"doctor", here, "--collector.disable-defaults", "--collector.host", file("well.yml", quiet)}, 0, "none"},
		"no such app":     {[]string{"doctor", here, file("app.yml", quiet+"apps: [{name: gone, match: {cmdline: \"no such program\"}}]\n")}, 1, "process not_found"},
		"nobody there":    {[]string{"doctor", here, file("redis.yml", quiet+"redis: [{name: cache, url: \"redis://zoe:s3cret@127.0.0.1:1\"}]\n")}, 1, "redis not_found"},
		"bad file":        {[]string{"doctor", file("bad.yml", "colour: red\n")}, 1, ""},
		"no file":         {[]string{"doctor", "--config.file=" + dir + "/none.yml"}, 1, ""},
		"unknown flag":    {[]string{"doctor", "--docter"}, 2, ""},
		"unknown printer": {[]string{"doctor", "--output=xml"}, 2, ""},
		"only a check":    {[]string{"doctor", "--config.check", file("well.yml", quiet)}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, errOut bytes.Buffer
			args := c.args
			if c.fault != "" {
				args = append(args, "--output=json")
			}
			if code := run(args, &out, &errOut); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if strings.Contains(out.String()+errOut.String(), "s3cret") {
				t.Error("a password is printed")
			}
			if c.fault == "" {
				text.add(name, strings.ReplaceAll(out.String()+errOut.String(), dir, "DIR"))
				return
			}
			d, fault := faultsOf(t, out.Bytes())
			if fault != c.fault || errOut.Len() > 0 || (d.Status == "fault") != (c.code == 1) {
				t.Errorf("%s with %q, want %q; standard error: %s", d.Status, fault, c.fault, errOut.String())
			}
			off := slices.ContainsFunc(d.Sections, func(s doctor.Section) bool { return s.Name == "mysql" && s.Status == "off" })
			if off != (name == "defaults off") {
				t.Errorf("mysql is off: %t", off)
			}
			d.Sections = slices.DeleteFunc(d.Sections, func(s doctor.Section) bool { return len(s.Findings) == 0 })
			out.Reset()
			if err := printDiagnosis(d, "text", &out); err != nil {
				t.Fatal(err)
			}
			text.add(name, out.String())
		})
	}
}

// faultsOf returns a diagnosis with nothing but the faults of its sections, and the section
// and the reason of the first; "none": there is none.
func faultsOf(t *testing.T, text []byte) (d *doctor.Diagnosis, first string) {
	t.Helper()
	d, first = &doctor.Diagnosis{}, "none"
	if err := json.Unmarshal(text, d); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	d.Summary, _, _ = strings.Cut(d.Summary, ", ") // the notes depend on the host
	for i := range d.Sections {
		s := &d.Sections[i]
		s.Facts = nil
		s.Findings = slices.DeleteFunc(s.Findings, func(f doctor.Finding) bool { return !f.Fault })
		if len(s.Findings) > 0 && first == "none" {
			first = s.Name + " " + string(s.Findings[0].Reason)
		}
	}
	return d, first
}

// A remedy that several findings share is printed once.
func TestPrintDiagnosis(t *testing.T) {
	finding := func(detail string, reason collectors.Reason, isFault bool, remedy ...string) doctor.Finding {
		return doctor.Finding{Reason: reason, Detail: detail, Fault: isFault, Remedy: append([]string{}, remedy...)}
	}
	d := &doctor.Diagnosis{Status: "fault", Summary: "1 configured item cannot work, 3 notes", Sections: []doctor.Section{
		{Name: "exporter", Status: "ok", Facts: []string{"runs as zoe (uid 5)"}},
		{Name: "process", Status: "fault", Findings: []doctor.Finding{finding("no", collectors.Permission, true, "one", "two"), finding("so it is", collectors.OK, false)}},
		{Name: "workers", Status: "note", Findings: []doctor.Finding{finding("no too", collectors.Permission, false, "one", "two"), finding("so it is too", collectors.OK, false)}},
	}}
	var out bytes.Buffer
	if err := printDiagnosis(d, "text", &out); err != nil {
		t.Fatal(err)
	}
	const want = `resp-exporter FAULT - 1 configured item cannot work, 3 notes
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
