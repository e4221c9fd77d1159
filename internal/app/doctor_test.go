package app_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/app"
	"github.com/resp-exporter/resp-exporter/internal/config"
)

func diagnose(t *testing.T, conf string, off ...string) *app.Diagnosis {
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

func section(t *testing.T, d *app.Diagnosis, name string) app.Section {
	t.Helper()
	for _, s := range d.Sections {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no section %s in %+v", name, d)
	return app.Section{}
}

const noStatsD = "statsd: {listen: []}\n"

func TestDiagnose(t *testing.T) {
	d := diagnose(t, noStatsD+"apps: [{name: nobody, match: {listen: \":1\", cmdline: \"no such program at all\"}}]\n", "host")
	if d.Status != "fault" || !strings.HasPrefix(d.Summary, "1 thing that is configured cannot work") {
		t.Errorf("%s: %s", d.Status, d.Summary)
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
	if f.Of != "app:nobody" || f.Reason != collectors.NotFound || !f.Fault || !strings.Contains(f.Detail, "cmdline no such program at all, listen :1") {
		t.Errorf("%+v", f)
	}
}

func TestDiagnoseBadConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bad.yml")
	write(t, file, "colour: red\n")
	if _, err := app.Diagnose(t.Context(), app.Options{ConfigFile: file, ProcRoot: "/proc"}); err == nil || !strings.Contains(err.Error(), "bad.yml:1: colour: unknown key") {
		t.Errorf("got %v", err)
	}
}

// A doctor that is told to stop comes back at once, with what it has.
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

// What is missing is a fault only of what the configuration asks for.
func TestFaults(t *testing.T) {
	cfg := config.Default()
	cfg.Apps = []config.App{{Name: "shop", Sessions: []config.Sessions{{Redis: "cache"}}}}
	own := cfg
	own.StatsD.Listen = []string{"udp://127.0.0.1:1"}
	for name, c := range map[string]struct {
		cfg       config.Config
		collector string
		u         collectors.Unavailable
		want      bool
	}{
		"server":           {cfg, "mysql", collectors.Unavailable{Reason: collectors.Busy, Of: "mysql:main"}, true},
		"server without":   {cfg, "mysql", collectors.Unavailable{Reason: collectors.Unsupported, Of: "mysql:main"}, true},
		"extra":            {cfg, "mysql", collectors.Unavailable{Reason: collectors.Unsupported, Of: "mysql:main", Optional: true}, false},
		"app of the file":  {cfg, "workers", collectors.Unavailable{Reason: collectors.Permission, Of: "app:shop"}, true},
		"app too large":    {cfg, "memory", collectors.Unavailable{Reason: collectors.Unsupported, Of: "app:shop"}, false},
		"app discovered":   {cfg, "workers", collectors.Unavailable{Reason: collectors.Permission, Of: "app:other"}, false},
		"kernel":           {cfg, "pressure", collectors.Unavailable{Reason: collectors.Unsupported}, false},
		"default listener": {cfg, "statsd", collectors.Unavailable{Reason: collectors.InUse, Of: "statsd:udp://127.0.0.1:9125"}, false},
		"own listener":     {own, "statsd", collectors.Unavailable{Reason: collectors.InUse, Of: "statsd:udp://127.0.0.1:1"}, true},
		"sessions":         {cfg, "sessions", collectors.Unavailable{Reason: collectors.Permission}, true},
		"tasks of nobody":  {cfg, "tasks", collectors.Unavailable{Reason: collectors.Permission}, false},
		"switched off":     {cfg, "mysql", collectors.Unavailable{Reason: collectors.Disabled, Of: "mysql:main"}, false},
	} {
		if got := app.IsFault(c.cfg, c.collector, &c.u); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

// Sockets are found by their address, and the doctor never takes itself for
// their holder.
func TestHolder(t *testing.T) {
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = udp.Close() }()
	path := filepath.Join(t.TempDir(), "s")
	unix, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close() }()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tcp.Close() }()
	for listen, want := range map[string]int{
		"udp://" + udp.LocalAddr().String(): 1, "unixgram://" + path: 1, "tcp://" + tcp.Addr().String(): 1, "udp://127.0.0.1:x": 0, "unixgram:///no/such": 0, "": 0,
	} {
		if got := app.Inodes("/proc", listen); len(got) != want {
			t.Errorf("%s has sockets %v, want %d", listen, got, want)
		}
		if pid := app.Holder("/proc", listen); pid != 0 {
			t.Errorf("%s is held by %d", listen, pid)
		}
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
	if len(s.Findings) != 1 || s.Findings[0].Fault || s.Findings[0].Cure[0] != "chmod o-rwx,g-w "+open || s.Status != "note" {
		t.Errorf("%+v", s)
	}
}
