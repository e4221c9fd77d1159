package config_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/config/schema"
)

func TestValidFiles(t *testing.T) {
	none := func(*config.Config) {}
	tests := map[string]func(*config.Config){
		"empty": none, "comments-only": none, "byte-order-mark": none, "empty-sections": none,
		"half-a-threshold": func(c *config.Config) {
			c.Thresholds.Memory.Warning, c.Thresholds.CacheHitRate.Critical = 0.71, 0.3
		},
		"statsd-off": func(c *config.Config) { c.StatsD.Listen = []string{} },
		"days":       func(c *config.Config) { c.SlowRequest = 9*24*time.Hour + 3*time.Hour },
		"json": func(c *config.Config) {
			c.Apps = []config.App{{Name: "shop", Match: config.Match{Listen: "[::1]:8000"}}}
		},
		"full": func(c *config.Config) { *c = full() },
	}
	files := testdata(t, "valid")
	if got, want := slices.Sorted(maps.Keys(files)), slices.Sorted(maps.Keys(tests)); !slices.Equal(got, want) {
		t.Errorf("testdata has %v\nthe test has %v", got, want)
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			want := config.Default()
			change(&want)
			got, err := config.Load(bytes.NewReader(files[name]), name, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

// full returns the configuration in testdata/valid-full.yml.
func full() config.Config {
	return config.Config{
		MonitoringInterval: time.Minute,
		Thresholds: config.Thresholds{
			Memory:         config.Limit{Warning: 0.7, Critical: 0.8},
			CPU:            config.Limit{Warning: 0.5, Critical: 0.6},
			Disk:           config.Limit{Warning: 0.1, Critical: 0.2},
			ConnectionPool: config.Limit{Warning: 0, Critical: 1},
			RequestQueue:   config.Limit{Warning: 10, Critical: 1000},
			ResponseTime:   config.Limit{Warning: 0.5, Critical: 1},
			ErrorRate:      config.Limit{Warning: 0.01, Critical: 0.01},
			QueryTime:      config.Limit{Warning: 0.1, Critical: 0.2},
			CacheHitRate:   config.Limit{Warning: 0.9, Critical: 0.9},
			TaskAge:        config.Limit{Warning: 60, Critical: 120},
		},
		SlowRequest: 1500 * time.Millisecond,
		Apps: []config.App{
			{
				Name: "shop", Match: config.Match{Cmdline: "gunicorn.*shop", Listen: ":8000", User: "1000"},
				Pools: []config.Pool{
					{Name: "main", MySQL: "main", User: "shop", Size: 20, MaxOverflow: -1, LeakAfter: 90 * time.Second},
					{Name: "reports", MySQL: "second", Size: 5, MaxOverflow: 10, LeakAfter: time.Minute},
				},
				Sessions: []config.Sessions{{Redis: "cache", Prefix: "session:", Lifetime: 2 * time.Hour}, {Redis: "tls", Prefix: "s:*"}},
				Tasks:    []config.Tasks{{Type: config.RQ, Redis: "cache", Queues: []string{"high", "default"}}, {Type: config.Celery, Redis: "tls"}},
				Thresholds: config.Overrides{
					"memory":        {Warning: schema.Number{Given: true, Off: true}, Critical: schema.Number{Given: true, Off: true}},
					"cpu":           {Critical: schema.Number{Given: true, Off: true}},
					"response_time": {Warning: schema.Number{Given: true, Value: 20}, Critical: schema.Number{Given: true, Value: 60}},
				},
				Mute: []string{"tasks", "sessions"},
			},
			{Name: "A.b_c:d@e-f/g", Match: config.Match{PIDFile: "/run/a.pid", SystemdUnit: "a@1.service", Cgroup: "/system.slice", User: "www-data"}},
			{Name: "socket", Match: config.Match{Listen: "unix:/run/shop.sock"}},
		},
		MySQL: []config.MySQL{
			{
				Name: "main", DSN: "resp@tcp(127.0.0.1:3306)/?tls=skip-verify&timeout=3s", PasswordFile: "/etc/resp-exporter/mysql",
				FallbackDSNs: []config.Secret{"resp:p@ss/w:rd@tcp([::1]:3307)/", "resp@unix(/run/mysqld/mysqld.sock)/mysql"},
			},
			{Name: "second", DSN: "a@/"},
		},
		Redis: []config.Redis{
			{Name: "cache", URL: "redis://resp@127.0.0.1:6379/0", PasswordFile: "/etc/resp-exporter/redis"},
			{Name: "tls", URL: "rediss://:secret@[::1]/"},
			{Name: "socket", URL: "unix://resp:secret@/run/redis/redis.sock?db=1"},
		},
		StatsD: config.StatsD{
			Listen:    []string{"udp://127.0.0.1:9125", "unixgram:///run/resp-exporter/statsd.sock", "udp://[::1]:9125", "udp://localhost:9126"},
			MaxRoutes: 256,
		},
		Diagnosis: config.Diagnosis{SampleRate: 2.5, ShowPaths: true, HeapCensus: config.CensusOff, History: config.History{Minutes: 1440, MaxBytes: 64 << 20}},
		Healing:   fullHealing(),
	}
}

// A configuration that is written as YAML loads as the same one, except for the
// secrets, which are never written.
func TestWrittenFileLoads(t *testing.T) {
	for name, c := range map[string]config.Config{"default": config.Default(), "full": full()} {
		t.Run(name, func(t *testing.T) {
			c.MySQL, c.Redis = nil, nil
			c.Healing.Rules, c.Healing.Coordination, c.Healing.Relay = nil, config.Coordination{}, config.Relay{} // "with" is of many types
			for i := range c.Apps {                                                                               // these name servers
				c.Apps[i].Pools, c.Apps[i].Sessions, c.Apps[i].Tasks = nil, nil, nil
			}
			data, err := yaml.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			got, err := config.Load(bytes.NewReader(data), name, nil)
			if err != nil {
				t.Fatalf("%v\n%s", err, data)
			}
			if len(got.Apps) == 0 {
				got.Apps = c.Apps // [] and nothing mean the same
			}
			if !reflect.DeepEqual(got, c) {
				t.Errorf("got  %+v\nwant %+v", got, c)
			}
		})
	}
}

func TestDefaultIsGoodAndOnesOwn(t *testing.T) {
	c := config.Default()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	c.StatsD.Listen[0] = "changed"
	if got := config.Default().StatsD.Listen[0]; got != "udp://127.0.0.1:9125" {
		t.Errorf("after a change of another value, the default is %s", got)
	}
}

func TestCheck(t *testing.T) {
	c := full()
	c.Apps[1].Name, c.SlowRequest = "shop", -1
	c.Thresholds.Disk.Warning = 0.9
	want := "slow_request: got -1ns; expected a duration above 0, such as 5s\n" +
		`apps[1].name: "shop" is already the name of apps[0]; expected another name` + "\n" +
		"thresholds.disk: warning 0.9 is above critical 0.2; expected warning at or below critical"
	if err := c.Check(); err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// A large bad file is refused fast and with an error of bounded length.
func TestErrorIsBounded(t *testing.T) {
	tests := map[string]string{
		"bad items":    "apps:\n" + strings.Repeat("- a\n", 20_000),
		"empty apps":   "apps:\n" + strings.Repeat("- {}\n", 20_000),
		"unknown keys": manyKeys(20_000),
		"one long key": strings.Repeat("k", 1000_000) + ": 1",
		"long value":   "slow_request: \"" + strings.Repeat("é", 400_000) + "\"",
		"long regexp":  "apps: [{name: a, match: {cmdline: '(" + strings.Repeat("x", 500_000) + "'}}]",
		"deep":         "apps: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000),
		"too deep":     "apps: " + strings.Repeat("[", 500_000),
		"too large":    strings.Repeat("#", 1<<20+1),
	}
	for name, data := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := config.Load(strings.NewReader(data), "f.yml", nil)
			if err == nil {
				t.Fatal("loaded")
			}
			if n := len(err.Error()); n > 20_000 {
				t.Errorf("an error of %d bytes: %.200s", n, err)
			}
			if strings.Count(err.Error(), "\n") >= 100 && !strings.HasSuffix(err.Error(), " more errors") {
				t.Errorf("does not count the rest: %s", err)
			}
		})
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d: 1\n", i)
	}
	return b.String()
}

func TestLoadFile(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.yml"), filepath.Join(dir, "bad.yml")
	write(t, good, "slow_request: 2s\n")
	write(t, bad, "slow_request: 2\n")
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, path string
		want       time.Duration // of slow_request
		err        string
	}{
		{"none", "", 5 * time.Second, ""},
		{"good", good, 2 * time.Second, ""},
		{"bad", bad, 0, bad + ":1: slow_request: got 2; expected a duration such as 5s"},
		{"a directory", dir, 0, "configuration: " + dir + " is not a regular file"},
		{"a FIFO that nobody writes to", fifo, 0, "configuration: " + fifo + " is not a regular file"},
		{"missing", dir + "/x.yml", 0, "configuration: open " + dir + "/x.yml: no such file or directory"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := config.LoadFile(test.path, []string{"RESPONSIVENESS_CPU_WARNING_THRESHOLD=0.4"})
			if fmt.Sprint(err) != cmp.Or(test.err, "<nil>") {
				t.Fatalf("error %v, want %s", err, test.err)
			}
			if c.SlowRequest != test.want || err == nil && c.Thresholds.CPU.Warning != 0.4 {
				t.Errorf("got %+v", c)
			}
		})
	}
	if _, err := config.LoadFile(dir+"/x.yml", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v does not wrap os.ErrNotExist", err)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, os.ErrClosed }

func TestBrokenReader(t *testing.T) {
	if _, err := config.Load(brokenReader{}, "f.yml", nil); !errors.Is(err, os.ErrClosed) || !strings.HasPrefix(err.Error(), "read f.yml: ") {
		t.Errorf("got %v", err)
	}
}

// testdata reads testdata/<kind>-<name>.yml, by name.
func testdata(t testing.TB, kind string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", kind+"-*.yml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files of kind %s: %v", kind, err)
	}
	files := make(map[string][]byte)
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimSuffix(strings.TrimPrefix(filepath.Base(p), kind+"-"), ".yml")] = data
	}
	return files
}

func write(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}
