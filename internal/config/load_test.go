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
)

// What several messages end with.
const (
	topKeys   = "monitoring_interval, thresholds, slow_request, apps, statsd"
	matchKeys = "cmdline, pid_file, listen, systemd_unit, cgroup, user"
	limitKeys = "memory, cpu, disk, connection_pool, request_queue, response_time, error_rate, query_time, cache_hit_rate, task_age"
	name      = "1 to 64 letters, digits or . _ : @ - /"
	listen    = `an address such as ":8000", "127.0.0.1:8000", "[::1]:8000" or "unix:/run/app.sock"`
	statsd    = `an address such as "udp://127.0.0.1:9125" or "unixgram:///run/resp-exporter/statsd.sock"`
	cgroup    = "a path below the root of the control groups, such as /system.slice/shop.service"
	noAnchors = "a value without anchors and aliases"
)

// invalid holds, for each testdata/invalid-<name>.yml, every line of its error
// after the file's name.
var invalid = map[string][]string{
	"unknown-key": {":5: apps[0].match.cmdlin: unknown key; expected one of " + matchKeys},
	"unknown-section": {
		":2: mysql: unknown key; expected one of " + topKeys,
		":4: healing: unknown key; expected one of " + topKeys,
	},
	"keys-that-are-no-text": {
		":1: 1: unknown key; expected one of " + topKeys,
		":2: a list: unknown key; expected one of " + topKeys,
		`:4: "two\nlines": unknown key; expected one of ` + topKeys,
		`:5: "~": unknown key; expected one of ` + topKeys,
		`:6: "<<": unknown key; expected one of ` + topKeys,
	},
	"duplicate-key": {
		":3: thresholds.cpu.warning: given again, first on line 3; expected it once",
		":4: slow_request: given again, first on line 1; expected it once",
	},
	"duplicate-app-name": {`:5: apps[1].name: "shop" is the name of apps[0] already; expected another name`},
	"duration": {
		":1: monitoring_interval: got 30; expected a duration such as 30s",
		`:2: slow_request: got "5 seconds"; expected a duration such as 5s`,
	},
	"duration-range": {
		":1: monitoring_interval: got 2h0m0s; expected a duration from 1s to 1h",
		":2: slow_request: got -5s; expected a duration above 0, such as 5s",
	},
	"interval-short": {
		":1: monitoring_interval: got 999ms; expected a duration from 1s to 1h",
		":2: slow_request: got 0s; expected a duration above 0, such as 5s",
	},
	"threshold-type": {
		":2: thresholds.memory: got 0.9; expected a mapping of warning, critical",
		`:3: thresholds.cpu.warning: got "high"; expected a number from 0 to 1`,
		`:4: thresholds.disk.warning: got "0.85"; expected a number from 0 to 1`,
		":4: thresholds.disk.critical: got a list; expected a number from 0 to 1",
		`:5: thresholds.request_queue.critical: got "1e999"; expected a number of connections, 0 or more`,
		":6: thresholds.query_time.warning: got nothing; expected a number of seconds, 0 or more",
	},
	"threshold-range": {
		":2: thresholds.memory.warning: got 80; expected a number from 0 to 1",
		":2: thresholds.memory.critical: got 90; expected a number from 0 to 1",
		":3: thresholds.cpu.warning: got -0.1; expected a number from 0 to 1",
		":4: thresholds.error_rate.critical: got NaN; expected a number from 0 to 1",
		":5: thresholds.response_time.critical: got +Inf; expected a number of seconds, 0 or more",
		":6: thresholds.request_queue.warning: got -1; expected a number of connections, 0 or more",
	},
	"threshold-order": {
		":2: thresholds.memory: warning 0.95 is above critical 0.9; expected warning at or below critical",
		":4: thresholds.cache_hit_rate: warning 0.4 is below critical 0.5; expected warning at or above critical, as this one warns when the value falls",
		":6: thresholds.request_queue: warning 20 is above critical 10; expected warning at or below critical",
	},
	"section-type": {
		":1: monitoring_interval: got a list; expected a duration such as 30s",
		":2: thresholds: got a list; expected a mapping of " + limitKeys,
		":3: apps: got a mapping; expected a list of apps",
		":4: statsd: got true; expected a mapping of listen, max_routes",
	},
	"root-list":               {":1: got a list; expected a mapping of " + topKeys},
	"root-text":               {`:1: got "just some text"; expected a mapping of ` + topKeys},
	"second-document":         {":2: a second document; expected one document"},
	"syntax":                  {":3: not YAML: did not find expected '-' indicator"},
	"syntax-on-the-last-line": {":1: not YAML: did not find expected ',' or '}'"},
	"syntax-on-the-first-line": {
		":1: not YAML: mapping values are not allowed in this context",
	},
	"syntax-in-second-document": {
		":1: slow_request: got 5; expected a duration such as 5s",
		":3: not YAML: did not find expected node content",
	},
	"anchor": {
		":3: apps[0].match: got an anchor; expected " + noAnchors,
		":6: apps[1].match: got an alias; expected " + noAnchors,
	},
	"anchor-in-itself": {":1: apps: got an anchor; expected " + noAnchors},
	"anchor-unknown":   {":2: not YAML: unknown anchor 'all' referenced"},
	"anchor-bomb":      {":2: a: unknown key; expected one of " + topKeys, ":3: b: unknown key; expected one of " + topKeys, ":4: apps: got an alias; expected " + noAnchors},
	"tag": {
		":1: slow_request: got the tag !!int; expected a duration such as 5s",
		":2: thresholds.cpu.warning: got the tag !!float; expected a number from 0 to 1",
		":2: thresholds.cpu.critical: got the tag !mine; expected a number from 0 to 1",
		":3: statsd: got the tag !mine; expected a mapping of listen, max_routes",
	},
	"encoding":          {":2: bytes that are not UTF-8; expected UTF-8"},
	"control-character": {":2: the control character U+0001; expected text"},
	"app-name": {
		`:2: apps[0].name: got "my shop"; expected ` + name,
		`:4: apps[1].name: got "12345678901234567890123456789012345678901234567890123456789012345"; expected ` + name,
		`:6: apps[2].name: got ""; expected ` + name,
		":8: apps[3].name: got 8000; expected " + name + ", in quotes",
		":10: apps[4].name: missing; expected " + name,
		`:11: apps[5]: got "shop"; expected a mapping of name, match`,
	},
	"match-empty": {
		":2: apps[0].match: empty; expected at least one of " + matchKeys,
		":4: apps[1].match: empty; expected at least one of " + matchKeys,
		":6: apps[2].match: empty; expected at least one of " + matchKeys,
		`:8: apps[3].match: got "gunicorn"; expected a mapping of ` + matchKeys,
	},
	"match": {
		":4: apps[0].match.cmdline: missing closing ): `gunicorn(shop`; expected a regular expression in the syntax of RE2",
		`:5: apps[0].match.pid_file: got "run/shop.pid"; expected an absolute path such as /run/shop.pid`,
		`:6: apps[0].match.listen: got "8000"; expected ` + listen,
		`:7: apps[0].match.systemd_unit: got "system.slice/shop.service"; expected the name of a unit, such as shop.service`,
		`:8: apps[0].match.cgroup: got "/"; expected ` + cgroup,
		`:9: apps[0].match.user: got "-1"; expected the name or the number of a user`,
	},
	"match-type": {
		`:4: apps[0].match.cmdline: got ""; expected a regular expression in the syntax of RE2`,
		":5: apps[0].match.pid_file: got a list; expected an absolute path such as /run/shop.pid",
		":6: apps[0].match.listen: got 8000; expected " + listen + ", in quotes",
		":7: apps[0].match.systemd_unit: got true; expected the name of a unit, such as shop.service, in quotes",
		":8: apps[0].match.cgroup: got 2024-01-01; expected " + cgroup + ", in quotes",
		":9: apps[0].match.user: got -1; expected the name or the number of a user, in quotes",
	},
	"statsd-address": {
		`:3: statsd.listen[0]: got "127.0.0.1:9125"; expected ` + statsd,
		`:4: statsd.listen[1]: got "tcp://127.0.0.1:9125"; expected ` + statsd,
		`:5: statsd.listen[2]: got "udp://127.0.0.1"; expected ` + statsd,
		`:6: statsd.listen[3]: got "unixgram://run/statsd.sock"; expected ` + statsd,
		":7: statsd.listen[4]: got 9125; expected " + statsd + ", in quotes",
		`:8: statsd.listen[5]: got ""; expected ` + statsd,
	},
	"statsd-null":     {":2: statsd.listen: got nothing; expected a list of addresses, or [] for none"},
	"statsd-twice":    {`:2: statsd.listen[2]: "udp://127.0.0.1:09125" is in the list already; expected another address`},
	"statsd-too-many": {":2: statsd.listen: got 9 addresses; expected at most 8"},
	"apps-too-many":   {":2: apps: got 51 apps; expected at most 50"},
	"max-routes":      {":1: statsd.max_routes: got 0; expected a whole number from 1 to 10000"},
	"max-routes-type": {":1: statsd.max_routes: got 2.5; expected a whole number from 1 to 10000"},
	"everything-at-once": {
		":1: monitoring_interval: got 30; expected a duration such as 30s",
		":2: color: unknown key; expected one of " + topKeys,
		":4: thresholds.cpu.warning: got 1.5; expected a number from 0 to 1",
		":5: thresholds.memory: warning 0.95 is above critical 0.9; expected warning at or below critical",
		`:7: apps[0].name: got "a b"; expected ` + name,
		":8: apps[0].match.cmdlin: unknown key; expected one of " + matchKeys,
		`:9: statsd.listen[0]: got "udp"; expected ` + statsd,
		":9: statsd.max_routes: got 20000; expected a whole number from 1 to 10000",
	},
}

func TestInvalidFiles(t *testing.T) {
	files := testdata(t, "invalid")
	if got, want := slices.Sorted(maps.Keys(files)), slices.Sorted(maps.Keys(invalid)); !slices.Equal(got, want) {
		t.Errorf("testdata has %v\nthe test has %v", got, want)
	}
	for name, want := range invalid {
		t.Run(name, func(t *testing.T) {
			c, err := config.Load(bytes.NewReader(files[name]), "resp-exporter.yml", nil)
			if err == nil {
				t.Fatalf("loaded as %+v", c)
			}
			lines := strings.Split(err.Error(), "\n")
			var whole []string
			for _, line := range want {
				whole = append(whole, "resp-exporter.yml"+line)
			}
			if !slices.Equal(lines, whole) {
				t.Errorf("got\n%s\nwant\n%s", err, strings.Join(whole, "\n"))
			}
			if !reflect.DeepEqual(c, config.Config{}) {
				t.Errorf("with the error came %+v", c)
			}
		})
	}
}

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

// full is what testdata/valid-full.yml says.
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
			{Name: "shop", Match: config.Match{Cmdline: "gunicorn.*shop", Listen: ":8000", User: "1000"}},
			{Name: "A.b_c:d@e-f/g", Match: config.Match{PIDFile: "/run/a.pid", SystemdUnit: "a@1.service", Cgroup: "/system.slice", User: "www-data"}},
			{Name: "socket", Match: config.Match{Listen: "unix:/run/shop.sock"}},
		},
		StatsD: config.StatsD{
			Listen:    []string{"udp://127.0.0.1:9125", "unixgram:///run/resp-exporter/statsd.sock", "udp://[::1]:9125", "udp://localhost:9126"},
			MaxRoutes: 256,
		},
	}
}

// What a configuration is written as reads back as the same one.
func TestWrittenFileLoads(t *testing.T) {
	for name, c := range map[string]config.Config{"default": config.Default(), "full": full()} {
		t.Run(name, func(t *testing.T) {
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
		`apps[1].name: "shop" is the name of apps[0] already; expected another name` + "\n" +
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
			if strings.Count(err.Error(), "\n") >= 100 && !strings.HasSuffix(err.Error(), " more faults") {
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
