package doctor_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/doctor"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// lacking is a collector that has a state and lacks.
type lacking struct {
	name  string
	state model.State
	lacks []*collectors.Unavailable
	reads int
}

// Name implements [collectors.Collector].
func (l *lacking) Name() string { return l.name }

// Descs implements [collectors.Collector].
func (*lacking) Descs() []*prometheus.Desc { return nil }

// Collect implements [collectors.Collector].
func (l *lacking) Collect(context.Context) (collectors.Sample, error) {
	l.reads++
	var errs []error
	for _, u := range l.lacks {
		lack := *u
		errs = append(errs, &lack)
	}
	return collectors.Sample{State: l.state}, errors.Join(errs...)
}

// subject returns an exporter with collectors, and without servers.
func subject(t *testing.T, cs ...*lacking) doctor.Subject {
	t.Helper()
	cfg := config.Default()
	cfg.StatsD.Listen = nil
	var list []collectors.Collector
	for _, c := range cs {
		list = append(list, c)
	}
	return doctor.Subject{
		Config: cfg, Flags: doctor.Flags{ProcRoot: "/proc", SysRoot: "/sys", StateDir: t.TempDir(), Off: map[string]bool{}},
		Collectors: collectors.NewSet(list, nil, nil),
		Apps:       func(context.Context) ([]discovery.App, error) { return nil, nil },
		MySQL:      func(string) *mysql.Server { return nil }, Redis: func(string) *redis.Server { return nil },
	}
}

// sectionOf returns a section of the diagnosis of a subject.
func sectionOf(t *testing.T, s doctor.Subject, name string) (doctor.Section, *doctor.Diagnosis) {
	t.Helper()
	var d *doctor.Diagnosis
	synctest.Test(t, func(t *testing.T) { d = doctor.Examine(t.Context(), s) }) // its pauses take no time
	i := slices.IndexFunc(d.Sections, func(s doctor.Section) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("no section %s in %+v", name, d)
	}
	return d.Sections[i], d
}

// finding is the codes of a finding.
type finding struct {
	of     string
	reason collectors.Reason
	fault  bool
}

// codes returns the codes of the findings of a section, in its order.
func codes(s doctor.Section) (out []finding) {
	for _, f := range s.Findings {
		out = append(out, finding{f.Of, f.Reason, f.Fault})
	}
	return out
}

// expect compares the status and the codes of the findings of a section.
func expect(t *testing.T, s doctor.Section, status string, want ...finding) {
	t.Helper()
	if got := codes(s); s.Status != status || !slices.Equal(got, want) {
		t.Errorf("section %s is %q with %+v, want %q with %+v", s.Name, s.Status, got, status, want)
	}
	for _, f := range s.Findings {
		if f.Detail == "" || f.Remedy == nil || f.Detail != strings.TrimSuffix(f.Detail, ".") {
			t.Errorf("a finding without a sentence or with nil for no remedy: %+v", f)
		}
	}
}

// Lacks become findings with their codes, faults first, each once; the sections are in a
// fixed order, and the status is a fault if there is one.
func TestLacks(t *testing.T) {
	t.Parallel()
	lack := func(of string, r collectors.Reason, detail, remedy string) *collectors.Unavailable {
		return &collectors.Unavailable{Of: of, Reason: r, Detail: detail, Remedy: remedy}
	}
	c := &lacking{name: "workers", lacks: []*collectors.Unavailable{
		lack("app:other", collectors.Unsupported, "cannot be read", ""), lack("app:shop", collectors.Failed, "failed", "one\ntwo -o USER"),
		lack("app:shop", collectors.Failed, "failed", "one\ntwo -o USER"),
	}}
	s := subject(t, c)
	s.Config.Apps = []config.App{{Name: "shop"}}
	section, d := sectionOf(t, s, "workers")
	expect(t, section, "fault", finding{"app:shop", collectors.Failed, true}, finding{"app:other", collectors.Unsupported, false})
	if r := section.Findings[0].Remedy; len(r) != 2 || r[0] != "one" || r[1] == "two -o USER" || !strings.HasPrefix(r[1], "two -o ") {
		t.Errorf("remedies %q", r)
	}
	if d.Status != "fault" || d.Sections[0].Name != "exporter" || len(d.Sections) != 1+len(collectors.Catalog()) {
		t.Errorf("%s with %d sections", d.Status, len(d.Sections))
	}
	if c.reads != 2 {
		t.Errorf("%d reads for two equal ones", c.reads)
	}
}

// A subject without lacks is ok, and a collector that is off has no findings.
func TestNothingIsMissing(t *testing.T) {
	t.Parallel()
	s := subject(t, &lacking{name: "pressure", lacks: []*collectors.Unavailable{{Reason: collectors.Unsupported, Detail: "no"}}}, &lacking{name: "workers"})
	s.Flags.Off["pressure"] = true
	s.Apps = func(context.Context) ([]discovery.App, error) {
		return []discovery.App{{Name: "shop", Up: true, PID: os.Getpid(), Server: cmdline.Script}}, nil
	}
	off, d := sectionOf(t, s, "pressure")
	expect(t, off, "off")
	if workers, _ := sectionOf(t, s, "workers"); workers.Status != "ok" || len(workers.Findings) != 0 || workers.Facts == nil || workers.Findings == nil {
		t.Errorf("%+v", workers)
	}
	if d.Status != "ok" {
		t.Errorf("%+v", d)
	}
}

// An app of the configuration that does not run is a fault; without apps and without a
// configuration there is a note.
func TestApps(t *testing.T) {
	t.Parallel()
	none, _ := sectionOf(t, subject(t), "process")
	expect(t, none, "note", finding{"", collectors.NotFound, false})
	s := subject(t)
	s.Config.Apps = []config.App{{Name: "shop", Match: config.Match{Cmdline: "shop:app", User: "www-data"}}, {Name: "blog", Match: config.Match{Listen: ":8000"}}}
	s.Apps = func(context.Context) ([]discovery.App, error) {
		return []discovery.App{{Name: "shop", PID: os.Getpid()}, {Name: "blog", Up: true, PID: os.Getpid(), Processes: []discovery.Process{{PID: os.Getpid()}}}}, nil
	}
	section, d := sectionOf(t, s, "process")
	if got := slices.DeleteFunc(codes(section), func(f finding) bool { return f.of == "app:blog" }); !slices.Equal(got, []finding{{"app:shop", collectors.NotFound, true}}) || section.Status != "fault" {
		t.Errorf("%+v", section)
	}
	if f := section.Findings[0]; !strings.Contains(f.Detail, "cmdline shop:app, user www-data") || len(f.Remedy) == 0 {
		t.Errorf("%+v", f)
	}
	if len(section.Facts) != 1 || !strings.Contains(section.Facts[0], "(uid "+strconv.Itoa(os.Geteuid())+")") || d.Status != "fault" {
		t.Errorf("%q, %s", section.Facts, d.Status)
	}
}

// Healing has its mode and its state directory only if it is configured.
func TestHealing(t *testing.T) {
	t.Parallel()
	quiet, _ := sectionOf(t, subject(t), "heal")
	expect(t, quiet, "ok")
	if len(quiet.Facts) != 0 {
		t.Errorf("%q", quiet.Facts)
	}
	for name, c := range map[string]struct {
		mode   string
		dir    func(t *testing.T) string
		status string
		want   []finding
		facts  int
	}{
		"off":       {config.HealOff, private, "note", []finding{{"heal", collectors.Disabled, false}}, 1},
		"dry run":   {config.HealDryRun, private, "ok", nil, 2},
		"enforce":   {config.HealEnforce, private, "ok", nil, 2},
		"no parent": {config.HealEnforce, func(t *testing.T) string { t.Helper(); return filepath.Join(t.TempDir(), "a", "b") }, "fault", []finding{{"heal", collectors.Permission, true}}, 1},
		"a file": {config.HealEnforce, func(t *testing.T) string {
			t.Helper()
			file := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return file
		}, "fault", []finding{{"heal", collectors.Permission, true}}, 1},
		"open to others": {config.HealEnforce, func(t *testing.T) string {
			t.Helper()
			dir := private(t)
			if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // what is refused
				t.Fatal(err)
			}
			return dir
		}, "fault", []finding{{"heal", collectors.Permission, true}}, 1},
		"broken lines": {config.HealEnforce, func(t *testing.T) string {
			t.Helper()
			dir := private(t)
			if err := os.WriteFile(filepath.Join(dir, "journal.jsonl"), []byte("x\ny\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			return dir
		}, "note", []finding{{"heal", collectors.OK, false}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := subject(t)
			s.Config.Healing.Mode, s.Config.Healing.Rules, s.Flags.StateDir = c.mode, []config.HealingRule{{Name: "leaked"}}, c.dir(t)
			section, _ := sectionOf(t, s, "heal")
			expect(t, section, c.status, c.want...)
			if len(section.Facts) != c.facts {
				t.Errorf("facts %q", section.Facts)
			}
			for _, f := range section.Findings {
				if f.Fault && len(f.Remedy) == 0 {
					t.Errorf("no remedy: %+v", f)
				}
			}
		})
	}
}

// private returns a directory of this user only.
func private(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// An address in use is a fault, and so is an invalid one; a free one is none.
func TestListenAddresses(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	s := subject(t)
	s.Flags.Listen = []string{l.Addr().String(), "127.0.0.1:0", "vsock://1:2"}
	section, _ := sectionOf(t, s, "exporter")
	expect(t, section, "fault", finding{"", collectors.InUse, true})
	s.Flags.SystemdSocket = true
	if section, _ := sectionOf(t, s, "exporter"); section.Status == "fault" {
		t.Errorf("with a socket of systemd: %+v", section.Findings)
	}
	s.Flags.SystemdSocket, s.Flags.Listen = false, []string{"127.0.0.1:99999"}
	section, _ = sectionOf(t, s, "exporter")
	expect(t, section, "fault", finding{"", collectors.Failed, true})
}

// A token that cannot be used is a fault, and files that others can read are notes.
func TestSecretFiles(t *testing.T) {
	t.Parallel()
	dir := private(t)
	write := func(name, text string, mode os.FileMode) string {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(file, []byte(text), 0o600), os.Chmod(file, mode)); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for name, c := range map[string]struct {
		file   string
		status string
		want   []finding
	}{
		"private":      {write("private", "token", 0o400), "ok", nil},
		"empty":        {write("empty", "", 0o400), "fault", []finding{{"", collectors.Failed, true}}},
		"not there":    {filepath.Join(dir, "none"), "fault", []finding{{"", collectors.NotFound, true}}},
		"writable":     {write("writable", "token", 0o622), "fault", []finding{{"", collectors.Permission, true}, {"", collectors.OK, false}}},
		"world's":      {write("world", "token", 0o644), "note", []finding{{"", collectors.OK, false}}},
		"of the group": {write("group", "token", 0o440), "ok", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := subject(t)
			s.Config.Healing.TokenFile = c.file
			section, _ := sectionOf(t, s, "exporter")
			expect(t, section, c.status, c.want...)
			for _, f := range section.Findings {
				if c.file != filepath.Join(dir, "none") && len(f.Remedy) == 0 || len(f.Remedy) > 0 && !strings.Contains(strings.Join(f.Remedy, " "), c.file) {
					t.Errorf("remedy %q", f.Remedy)
				}
			}
		})
	}
}

// The facts of a Redis are from its state; a replica is a note, and missing rights are
// completed with the user, the port and all rights that the configuration needs.
func TestRedisServers(t *testing.T) {
	t.Parallel()
	c := &lacking{
		name: "redis",
		state: model.State{Redis: []model.RedisServer{
			{Name: "cache", Up: true, Informed: true, Version: "7.0.15", Mode: "standalone", Role: "slave"},
			{Name: "mute", Up: true},
		}},
		lacks: []*collectors.Unavailable{
			{Of: "redis:cache", Reason: collectors.Permission, Detail: "needs a right", Remedy: "ACL SETUSER " + redis.Placeholder + " +info"},
			{Of: "redis:gone", Reason: collectors.NotFound, Detail: "does not listen", Remedy: "systemctl status for " + redis.Placeholder},
		},
	}
	s := subject(t, c)
	s.Config.Redis = []config.Redis{{Name: "cache", URL: "redis://resp:x@127.0.0.1:6390/0"}, {Name: "mute", URL: "redis://127.0.0.1:6391"}, {Name: "gone", URL: "redis://127.0.0.1:6392"}}
	s.Config.Apps = []config.App{{Name: "shop", Sessions: []config.Sessions{{Redis: "cache", Prefix: "session:"}}}}
	section, _ := sectionOf(t, s, "redis")
	expect(t, section, "fault",
		finding{"redis:cache", collectors.Permission, true}, finding{"redis:gone", collectors.NotFound, true}, finding{"redis:cache", collectors.OK, false})
	if len(section.Facts) != 3 || !strings.Contains(section.Facts[0], "7.0.15") {
		t.Errorf("facts %q", section.Facts)
	}
	if r := section.Findings[0].Remedy; len(r) != 1 || !strings.HasPrefix(r[0], "redis-cli -p 6390 ACL SETUSER resp ") || !strings.Contains(r[0], "session:") {
		t.Errorf("remedy %q", r)
	}
	if r := section.Findings[1].Remedy; len(r) != 1 || !strings.HasSuffix(r[0], " default") {
		t.Errorf("remedy %q", r)
	}
	if strings.Contains(strings.Join(section.Facts, ""), ":x@") {
		t.Errorf("the password is in %q", section.Facts)
	}
}

// Without a server in the configuration the sections of stores have a fact and no finding.
func TestNoServers(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"mysql", "redis"} {
		section, _ := sectionOf(t, subject(t), name)
		expect(t, section, "ok")
		if len(section.Facts) != 1 {
			t.Errorf("%s: %q", name, section.Facts)
		}
	}
}

// A StatsD collector without an address is off.
func TestStatsDIsOff(t *testing.T) {
	t.Parallel()
	s := subject(t, &lacking{name: "statsd", lacks: []*collectors.Unavailable{{Reason: collectors.Disabled, Detail: "no address"}}})
	section, _ := sectionOf(t, s, "statsd")
	expect(t, section, "off")
}
