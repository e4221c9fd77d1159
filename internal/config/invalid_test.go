package config_test

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config"
)

// The ends of messages that several files share.
const (
	topKeys   = "monitoring_interval, thresholds, slow_request, apps, mysql, redis, statsd, diagnosis, healing"
	matchKeys = "cmdline, pid_file, listen, systemd_unit, cgroup, user"
	name      = "1 to 64 letters, digits or . _ : @ - /"
	listen    = `an address such as ":8000", "127.0.0.1:8000", "[::1]:8000" or "unix:/run/app.sock"`
	trust     = `a user id such as "uid:1001", or an address or network such as "10.0.0.0/8"`
	statsd    = `an address such as "udp://127.0.0.1:9125" or "unixgram:///run/resp-exporter/statsd.sock"`
	cgroup    = "a path below the root of the control groups, such as /system.slice/shop.service"
	noAnchors = "a value without anchors and aliases"
	dsn       = `a DSN such as "resp@tcp(127.0.0.1:3306)/" or "resp@unix(/run/mysqld/mysqld.sock)/"`
	redisURL  = `a URL such as "redis://resp@127.0.0.1:6379/0", "rediss://…" for TLS or "unix:///run/redis/redis.sock"`
	password  = "an absolute path such as /etc/resp-exporter/password"
	notShown  = "an invalid value (not shown, it may contain a password)"
)

// limitKeys is the list of the keys of all thresholds, as in messages.
var limitKeys = strings.Join(resources(), ", ")

// ofApps is the keys of the thresholds that an app may have of its own.
var ofApps = []string{"memory", "cpu", "disk", "connection_pool", "request_queue", "response_time", "error_rate", "task_age"}

// resources returns the key of each threshold, in the order of the file.
func resources() (out []string) {
	config.Default().Thresholds.Each(func(resource string, _ config.Limit) { out = append(out, resource) })
	return out
}

// invalid has, for each testdata/invalid-<name>.yml, every line of its error after the
// file's name.
var invalid = map[string][]string{
	"unknown-key": {":5: apps[0].match.cmdlin: unknown key; expected one of " + matchKeys},
	"unknown-section": {
		":2: pools: unknown key; expected one of " + topKeys,
		":4: healer: unknown key; expected one of " + topKeys,
	},
	"keys-that-are-no-text": {
		":1: 1: unknown key; expected one of " + topKeys,
		":2: a list: unknown key; expected one of " + topKeys,
		`:4: "two\nlines": unknown key; expected one of ` + topKeys,
		`:5: "~": unknown key; expected one of ` + topKeys,
		`:6: "<<": unknown key; expected one of ` + topKeys,
	},
	"overrides": {
		":5: apps[0].thresholds.memory.warning: got 2; expected a number from 0 to 1, or off",
		":6: apps[0].thresholds.cpu: got \"on\"; expected off, or a mapping of warning, critical",
		":7: apps[0].thresholds.query_time: unknown key; expected one of " + strings.Join(ofApps, ", "),
		":8: apps[0].thresholds.response_time.critical: got \"fast\"; expected a number of seconds, 0 or more, or off",
		":9: apps[0].thresholds.error_rate: warning 0.2 is above critical 0.1; expected warning at or below critical",
		":10: apps[0].thresholds.task_age.worst: unknown key; expected one of warning, critical",
		":10: apps[0].thresholds.task_age.warning: got +Inf; expected a number of seconds, 0 or more, or off",
		":11: apps[0].mute[1]: got \"mysql\"; expected one of " + strings.Join(config.Components(), ", "),
		":11: apps[0].mute[2]: \"tasks\" is already in the list; expected another component",
		":14: apps[1].thresholds: got \"off\"; expected a mapping of " + strings.Join(ofApps, ", "),
		":15: apps[1].mute: got \"tasks\"; expected a list of components",
	},
	"duplicate-key": {
		":3: thresholds.cpu.warning: duplicate key, first set on line 3; expected it once",
		":4: slow_request: duplicate key, first set on line 1; expected it once",
	},
	"duplicate-app-name": {`:5: apps[1].name: "shop" is already the name of apps[0]; expected another name`},
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
		":4: thresholds.cache_hit_rate: warning 0.4 is below critical 0.5; expected warning at or above critical, because this threshold warns about low values",
		":6: thresholds.request_queue: warning 20 is above critical 10; expected warning at or below critical",
	},
	"section-type": {
		":1: monitoring_interval: got a list; expected a duration such as 30s",
		":2: thresholds: got a list; expected a mapping of " + limitKeys,
		":3: apps: got a mapping; expected a list of apps",
		":4: statsd: got true; expected a mapping of listen, max_routes, trust",
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
		":3: statsd: got the tag !mine; expected a mapping of listen, max_routes, trust",
	},
	"encoding":          {":2: bytes that are not UTF-8; expected UTF-8"},
	"control-character": {":2: the control character U+0001; expected text"},
	"app-name": {
		`:2: apps[0].name: got "my shop"; expected ` + name,
		`:4: apps[1].name: got "12345678901234567890123456789012345678901234567890123456789012345"; expected ` + name,
		`:6: apps[2].name: got ""; expected ` + name,
		":8: apps[3].name: got 8000; expected " + name + ", in quotes",
		":10: apps[4].name: missing; expected " + name,
		`:11: apps[5]: got "shop"; expected a mapping of name, match, pools, sessions, tasks, thresholds, mute`,
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
	"statsd-twice":    {`:2: statsd.listen[2]: "udp://127.0.0.1:09125" is already in the list; expected another address`},
	"statsd-too-many": {":2: statsd.listen: got 9 addresses; expected at most 8"},
	"apps-too-many":   {":2: apps: got 51 apps; expected at most 50"},
	"statsd-trust": {
		`:1: statsd.trust[0]: got "root"; expected ` + trust,
		`:1: statsd.trust[1]: got "uid:-1"; expected ` + trust,
		`:1: statsd.trust[2]: got "10.0.0.1/8"; expected ` + trust,
		`:1: statsd.trust[3]: got "uid:4294967295"; expected ` + trust,
	},
	"history": {
		":3: diagnosis.history.minutes: got 4; expected 0 for none, or a whole number from 5 to 1440",
		":4: diagnosis.history.max_bytes: got 512MiB; expected a size from 1MiB to 256MiB, such as 16MiB",
	},
	"history-size": {
		`:1: diagnosis.history.minutes: got "60m"; expected 0 for none, or a whole number from 5 to 1440`,
		`:1: diagnosis.history.max_bytes: got "16MB"; expected a size from 1MiB to 256MiB, such as 16MiB`,
	},
	"sample-rate":     {":1: diagnosis.sample_rate: got 0.4; expected a number from 0.5 to 20"},
	"heap-census":     {`:1: diagnosis.heap_census: got "always"; expected off or on_suspicion`},
	"max-routes":      {":1: statsd.max_routes: got 0; expected a whole number from 1 to 10000"},
	"max-routes-type": {":1: statsd.max_routes: got 2.5; expected a whole number from 1 to 10000"},
	"pools": {
		`:5: apps[0].pools[0].mysql: got "nowhere", which does not exist; expected the name of a server in the section mysql`,
		":5: apps[0].pools[0].size: got 0; expected a whole number from 1 to 10000",
		":5: apps[0].pools[0].max_overflow: got -2; expected a whole number from 0 to 10000, or -1 for no limit",
		":5: apps[0].pools[0].leak_after: got 10ms; expected a duration of 1s or more, such as 60s",
		`:6: apps[0].pools[1].name: "main" is already the name of apps[0].pools[0]; expected another name`,
		":7: apps[0].pools[2].size: got 5.5; expected a whole number from 1 to 10000",
		":7: apps[0].pools[2].sise: unknown key; expected one of name, mysql, user, size, max_overflow, leak_after",
		":7: apps[0].pools[2].name: missing; expected " + name,
		":8: apps[0].pools[3].leak_after: got 60; expected a duration of 1s or more, such as 60s",
		":8: apps[0].pools[3].mysql: missing; expected the name of a server in the section mysql",
	},
	"sessions": {
		`:5: apps[0].sessions[0].prefix: missing; expected 1 to 128 bytes that the keys begin with, such as "session:"`,
		`:6: apps[0].sessions[1].redis: "cache" is already the server of sessions[0]; expected one entry per server, with a prefix that all its sessions share`,
		`:7: apps[0].sessions[2].redis: got "mysql", which does not exist; expected the name of a server in the section redis`,
		`:7: apps[0].sessions[2].prefix: got "a\nb"; expected 1 to 128 bytes that the keys begin with, such as "session:"`,
		`:7: apps[0].sessions[2].lifetime: got 5ms; expected a duration of 1s or more, such as 2h`,
		`:8: apps[0].sessions[3].prefix: got ""; expected 1 to 128 bytes that the keys begin with, such as "session:"`,
		`:8: apps[0].sessions[3].redis: missing; expected the name of a server in the section redis`,
	},
	"tasks": {
		`:6: apps[0].tasks[1].queues[1]: the queue "default" is already at apps[0].tasks[0].queues; expected each queue of an app only once`,
		`:6: apps[0].tasks[1].queues[2]: the queue "celery" is already at apps[0].tasks[1].queues[0]; expected each queue of an app only once`,
		`:7: apps[0].tasks[2].queues[0]: got ""; expected the name of a queue, of at most 128 bytes`,
		`:7: apps[0].tasks[2].type: got "sidekiq"; expected rq or celery`,
		`:7: apps[0].tasks[2].queues[1]: got "a\tb"; expected the name of a queue, of at most 128 bytes`,
		`:8: apps[0].tasks[3].queues: got "high"; expected a list of queues`,
		`:8: apps[0].tasks[3].redis: missing; expected the name of a server in the section redis`,
		`:8: apps[0].tasks[3].type: missing; expected rq or celery`,
	},
	"mysql": {
		`:2: mysql[0].name: got "my db"; expected ` + name,
		":2: mysql[0].dsn: " + notShown + "; expected " + dsn,
		":3: mysql[1].name: missing; expected " + name,
		":3: mysql[1].dsn: missing; expected " + dsn,
		`:3: mysql[1].password_file: got "secret.txt"; expected ` + password,
		":4: mysql[2].dsn: missing; expected " + dsn,
		`:5: mysql[2].pasword_file: unknown key; expected one of name, dsn, password_file, fallback_dsns`,
		`:6: mysql[3].name: "main" is already the name of mysql[2]; expected another name`,
		":6: mysql[3].dsn: missing; expected " + dsn,
		":8: mysql[3].fallback_dsns[0]: " + notShown + "; expected " + dsn,
		":9: mysql[3].fallback_dsns[1]: got nothing; expected " + dsn,
		":10: mysql[3].fallback_dsns[2]: got a value that is not text; expected " + dsn,
		":11: mysql[4].fallback_dsns: got 5; expected at most 4",
	},
	"mysql-type": {
		":1: mysql: got a mapping; expected a list of servers",
		":2: redis[0]: got a list; expected a mapping of name, url, password_file, cache",
	},
	"redis": {
		":2: redis[0].url: " + notShown + "; expected " + redisURL,
		":3: redis[1].url: missing; expected " + redisURL,
		":4: redis[2].url: got a value that is not text; expected " + redisURL,
		`:5: redis[3].url: got ""; expected ` + redisURL,
		`:5: redis[3].name: "cache" is already the name of redis[0]; expected another name`,
		`:5: redis[3].password_file: got "/"; expected ` + password,
	},
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
	maps.Copy(invalid, invalidHealing)
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
