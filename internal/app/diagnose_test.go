package app_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/app"
	"github.com/resp-exporter/resp-exporter/internal/doctor"
)

func diagnose(t *testing.T, conf string, off ...string) *doctor.Diagnosis {
	t.Helper()
	file := filepath.Join(t.TempDir(), "resp-exporter.yml")
	write(t, file, conf)
	o := app.Options{
		ConfigFile: file, ProcRoot: "/proc", SysRoot: "/sys", RootFS: "/", MetricsPath: "/metrics", Off: make(map[string]bool),
		Web: &toolkit.FlagConfig{WebListenAddresses: &[]string{"127.0.0.1:0"}, WebSystemdSocket: new(bool)}, Logger: slog.New(slog.DiscardHandler),
	}
	for _, name := range off {
		o.Off[name] = true
	}
	d, err := app.Diagnose(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func section(t *testing.T, d *doctor.Diagnosis, name string) doctor.Section {
	t.Helper()
	for _, s := range d.Sections {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no section %s in %+v", name, d)
	return doctor.Section{}
}

const noStatsD = "statsd: {listen: []}\n"

func TestDiagnose(t *testing.T) {
	d := diagnose(t, noStatsD+"apps: [{name: nobody, match: {listen: \":1\", cmdline: \"no such program at all\"}}]\n", "host")
	faults := 0
	for _, s := range d.Sections {
		for _, f := range s.Findings {
			if f.Fault {
				faults++
			}
		}
	}
	if d.Status != "fault" || faults != 1 {
		t.Errorf("%s: %s: %d faults", d.Status, d.Summary, faults)
	}
	names := 1
	for _, e := range collectors.Catalog() {
		section(t, d, e.Name)
		names++
	}
	if len(d.Sections) != names || d.Sections[0].Name != "exporter" || len(d.Sections[0].Facts) == 0 {
		t.Errorf("sections %+v", d.Sections)
	}
	for name, want := range map[string]string{"host": "off", "statsd": "off", "mysql": "ok", "process": "fault"} {
		if got := section(t, d, name).Status; got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	f := section(t, d, "process").Findings[0]
	if f.Of != "app:nobody" || f.Reason != collectors.NotFound || !f.Fault || !strings.Contains(f.Detail, "no such program at all") {
		t.Errorf("%+v", f)
	}
}

func TestDiagnoseBadConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bad.yml")
	write(t, file, "colour: red\n")
	if _, err := app.Diagnose(t.Context(), app.Options{ConfigFile: file, ProcRoot: "/proc"}); err == nil || !strings.Contains(err.Error(), "bad.yml:1: colour: ") {
		t.Errorf("got %v", err)
	}
}

// A doctor whose context ends returns at once with the findings so far.
func TestDiagnoseStops(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resp-exporter.yml")
	write(t, file, noStatsD)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	done := make(chan error, 1)
	go func() {
		_, err := app.Diagnose(ctx, app.Options{ConfigFile: file, ProcRoot: "/proc", SysRoot: "/sys", RootFS: "/"})
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it does not end")
	}
}

func TestSecretFiles(t *testing.T) {
	dir := t.TempDir()
	open, shut := filepath.Join(dir, "open"), filepath.Join(dir, "shut")
	write(t, open, "x")
	write(t, shut, "x")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	d := diagnose(t, noStatsD+fmt.Sprintf(`redis: [{name: a, url: "redis://127.0.0.1:1", password_file: %s}, {name: b, url: "redis://127.0.0.1:1", password_file: %s}]`+"\n", open, shut))
	s := section(t, d, "exporter")
	if len(s.Findings) != 1 || s.Findings[0].Fault || s.Findings[0].Remedy[0] != "chmod o-rwx,g-w "+open || s.Status != "note" {
		t.Errorf("%+v", s)
	}
}
