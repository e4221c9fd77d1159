package web_test

import (
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/model/modeltest"
	"github.com/resp-exporter/resp-exporter/internal/web"
)

// four adds an app of four workers in these states, the longest first.
func four(s *sample, states [4]string, queue float64) {
	s.thresholds()
	s.add("resp_up", 1, "app:shop")
	n := map[string]float64{"busy": 0, "idle": 0, "stuck": 0, "booting": 0}
	for i, state := range states {
		s.add("page.worker", float64(42-i), "shop", string(rune('0'+i)), "1", state, "waits in recvfrom")
		n[state]++
	}
	for state, v := range n {
		s.add("resp_app_workers", v, "shop", state)
	}
	s.add("resp_listener_queue_length", queue, "shop", ":8000")
	s.add("resp_listener_queue_limit", 2048, "shop", ":8000")
}

// verdict returns the verdict on s so long after the sample was taken.
func verdict(s sample, later time.Duration) (level, sentence, key string) {
	r := modeltest.State(s)
	return web.Verdict(r, judged(r, moment), moment.Add(later))
}

func TestVerdict(t *testing.T) {
	calm := [4]string{"busy", "idle", "idle", "idle"}
	full := [4]string{"busy", "busy", "busy", "busy"}
	for name, c := range map[string]struct {
		build           func(s *sample)
		level, sentence string
	}{
		"no app": {func(*sample) {}, "unknown", "No app found on this host yet: start gunicorn, or name the app in the section apps of the configuration"},
		"no app, full disk": {func(s *sample) { s.thresholds(); s.add("resp_disk_usage_ratio", 0.97, "/") },
			"critical", "disk / is at 97 %"},
		"nothing known": {func(s *sample) { s.add("resp_app_workers", 0, "shop", "idle") }, "unknown", "The state of shop is not known yet"},
		"nothing to be seen": {func(s *sample) {
			s.add("resp_up", 1, "app:shop")
			s.add("page.worker", 10, "shop", "0", "42", "", "")
		}, "warning", "shop runs, but its state is not known: no worker can be read, no request is reported"},
		"requests though no worker is seen": {func(s *sample) {
			s.add("resp_up", 1, "app:shop")
			s.add("page.worker", 10, "shop", "0", "42", "", "")
			s.add("page.http_rate", 3, "shop")
		}, "healthy", "shop answers: 3 requests/s"},
		"up, no more": {func(s *sample) { s.add("resp_up", 1, "app:shop") }, "healthy", "shop runs"},
		"down":        {func(s *sample) { s.add("resp_up", 0, "app:shop") }, "critical", "shop is down: no process was found"},
		"calm without requests": {func(s *sample) { four(s, calm, 0) },
			"healthy", "shop runs: 1 of 4 workers busy, queue 0 of 2048"},
		"calm": {func(s *sample) {
			four(s, calm, 0)
			s.add("page.http_rate", 41, "shop")
			s.add("page.http_latency_seconds", 0.082, "shop", "0.95")
		}, "healthy", "shop answers: 1 of 4 workers busy, queue 0 of 2048, 41 requests/s, p95 82 ms"},
		"all busy":         {func(s *sample) { four(s, full, 0) }, "warning", "shop has no free worker: 4 of 4 workers busy, longest 42 s (worker 0, waits in recvfrom)"},
		"all busy, queue":  {func(s *sample) { four(s, full, 31) }, "warning", "shop has no free worker: 4 of 4 workers busy, longest 42 s (worker 0, waits in recvfrom), queue 31 of 2048"},
		"all busy, long":   {func(s *sample) { four(s, full, 120) }, "critical", "120 of 2048 connections wait for shop; shop has no free worker: 4 of 4 workers busy, longest 42 s (worker 0, waits in recvfrom), queue 120 of 2048"},
		"one stuck":        {func(s *sample) { four(s, [4]string{"busy", "stuck", "idle", "idle"}, 0) }, "warning", "1 of 4 workers of shop is stuck, longest 41 s (worker 1, waits in recvfrom)"},
		"stuck and busy":   {func(s *sample) { four(s, [4]string{"busy", "stuck", "stuck", "busy"}, 60) }, "critical", "shop has no free worker: 4 of 4 workers busy or stuck, longest 41 s (worker 1, waits in recvfrom), queue 60 of 2048"},
		"all stuck":        {func(s *sample) { four(s, [4]string{"stuck", "stuck", "stuck", "stuck"}, 0) }, "critical", "shop does not answer: 4 of 4 workers stuck, longest 42 s (worker 0, waits in recvfrom)"},
		"queue, warning":   {func(s *sample) { four(s, calm, 50) }, "warning", "50 of 2048 connections wait for shop"},
		"queue, full":      {func(s *sample) { four(s, calm, 2048) }, "critical", "the queue of shop is full: 2048 of 2048 connections wait"},
		"errors":           {func(s *sample) { four(s, calm, 0); s.add("page.http_error_ratio", 0.12, "shop") }, "critical", "12 % of the requests to shop fail with 5xx"},
		"slow":             {func(s *sample) { four(s, calm, 0); s.add("page.http_mean_seconds", 6.2, "shop") }, "warning", "shop takes 6.2 s per request on average"},
		"memory":           {func(s *sample) { four(s, calm, 0); s.add("resp_app_memory_usage_ratio", 0.93, "shop") }, "critical", "shop uses 93 % of its memory"},
		"cpu at the limit": {func(s *sample) { four(s, calm, 0); s.add("resp_app_cpu_usage_ratio", 0.8, "shop") }, "warning", "shop uses 80 % of its CPU"},
		"the worst first": {func(s *sample) {
			four(s, calm, 50)
			s.add("resp_app_cpu_usage_ratio", 0.85, "shop")
			s.add("resp_host_memory_usage_ratio", 0.85)
			s.add("resp_disk_usage_ratio", 0.97, "/var")
		}, "critical", "disk /var is at 97 %; 50 of 2048 connections wait for shop; shop uses 85 % of its CPU; and 1 more"},
		"two apps": {func(s *sample) {
			four(s, calm, 0)
			s.add("resp_up", 1, "app:blog")
			s.add("page.http_rate", 41, "shop")
		}, "healthy", "blog and shop run: 1 of 4 workers busy, 41 requests/s"},
	} {
		t.Run(name, func(t *testing.T) {
			var s sample
			c.build(&s)
			level, sentence, key := verdict(s, 0)
			if level != c.level || sentence != c.sentence || key == "" {
				t.Errorf("got  %s: %s (key %q)\nwant %s: %s", level, sentence, key, c.level, c.sentence)
			}
		})
	}
}

// Problems that ended are below the verdict, with their time, and not in it.
func TestVerdictOfWhatEnded(t *testing.T) {
	look := func(up float64, after time.Duration, before health.State) (*model.State, health.Evaluation, health.State) {
		var s sample
		s.add("resp_up", up, "app:shop")
		r := modeltest.State(s)
		j, state := health.Evaluate(health.Input{State: r, At: moment.Add(after), Limits: config.Default().Thresholds, Interval: time.Minute}, before)
		return r, j, state
	}
	_, _, state := look(0, 0, health.State{})
	r, j, _ := look(1, 10*time.Second, state)
	level, sentence, _ := web.Verdict(r, j, moment.Add(10*time.Second))
	if level != "healthy" || sentence != "shop runs" {
		t.Errorf("%s: %s", level, sentence)
	}
	if got := web.Ended(r, j, moment.Add(10*time.Second)); len(got) != 1 || got[0] != "shop was down: no process was found, ended 10 s ago" {
		t.Errorf("%q", got)
	}
}

func TestInPast(t *testing.T) {
	for summary, want := range map[string]string{
		"shop is down: no process was found":                                   "shop was down: no process was found",
		"shop does not answer: 2 of 2 workers stuck":                           "shop did not answer: 2 of 2 workers stuck",
		"shop has no free worker: 2 of 2 workers busy":                         "shop had no free worker: 2 of 2 workers busy",
		"shop takes 6.2 s per request on average":                              "shop took 6.2 s per request on average",
		"shop runs, but its state is not known: no worker can be read":         "shop ran, but its state was not known: no worker can be read",
		"5 % of the requests to shop fail with 5xx":                            "5 % of the requests to shop failed with 5xx",
		"pool main of shop is at 93 % (14 of 15)":                              "pool main of shop was at 93 % (14 of 15)",
		"2 jobs of queue mail of shop started on a worker that is gone":        "2 jobs of queue mail of shop started on a worker that was gone",
		"the oldest job of queue mail of shop has waited for 16 min":           "the oldest job of queue mail of shop had waited for 16 min",
		"9 jobs wait in queue mail of shop, which has no worker":               "9 jobs waited in queue mail of shop, which has no worker",
		"3 of 9 sessions of shop on Redis cache never expire":                  "3 of 9 sessions of shop on Redis cache never expired",
		"MySQL main accepts no more connections: all are in use":               "MySQL main accepted no more connections: all are in use",
		"only 70 % of the lookups on Redis cache find their key":               "only 70 % of the lookups on Redis cache found their key",
		"the disk usage cannot be read: no response from the file system at /": "the disk usage could not be read: no response from the file system at /",
		"an unforeseen summary":                                                "an unforeseen summary",
	} {
		if got := web.InPast(summary); got != want {
			t.Errorf("%q: got %q", summary, got)
		}
	}
}

func TestOneBusyWorkerIsNoNews(t *testing.T) {
	var s sample
	s.add("resp_up", 1, "app:shop")
	s.add("resp_app_workers", 1, "shop", "busy")
	s.add("page.worker", 0.2, "shop", "0", "1", "busy", "")
	if level, sentence, _ := verdict(s, 0); level != "healthy" || sentence != "shop runs: 1 of 1 worker busy" {
		t.Errorf("got %s: %s", level, sentence)
	}
}

func TestVerdictDoubtsOldNumbers(t *testing.T) {
	var s sample
	s.add("resp_up", 1, "app:shop")
	level, sentence, _ := verdict(s, 190*time.Second)
	if level != "warning" || sentence != "the last check is 3 min 10 s old: the page may be outdated" {
		t.Errorf("got %s: %s", level, sentence)
	}
}

// A screen reader speaks the verdict again when its key changes: numbers alone must not
// change it.
func TestVerdictKeyHoldsNoNumbers(t *testing.T) {
	key := func(queue float64) string {
		var s sample
		four(&s, [4]string{"busy", "idle", "idle", "idle"}, queue)
		_, _, k := verdict(s, 0)
		return k
	}
	if key(0) != key(3) || key(60) != key(61) || key(0) == key(60) || key(60) == key(150) {
		t.Errorf("keys: %q %q %q %q", key(0), key(3), key(60), key(150))
	}
}

// The chain of each app comes before its effect on the store, with the level of the worst
// of it.
func TestVerdictBeginsWithTheChain(t *testing.T) {
	s := lineSample()
	w := s.Workers[0]
	w.App = "blog"
	s.Workers = append(s.Workers, w)
	second := s.Chains[0]
	second.App, second.Kind = "blog", "metadata"
	second.Victims = []model.Link{{App: "blog", Slot: "0", PID: 4710, On: "mysql", Peer: "mysql:db", Seconds: 42}}
	third := s.Chains[0]
	third.Kind = "global" // one chain of an app is told
	longest := 400.0
	s.MySQL = append(s.MySQL, model.MySQLServer{Name: "db", Up: true, LongestQuery: &longest, SharedQuery: &longest, AppQuery: &longest})
	s.Chains = append(s.Chains, second, third)
	verdict := func() (level, key string) {
		j, _ := health.Evaluate(health.Input{State: s, At: moment, Limits: config.Default().Thresholds, Interval: time.Second, MySQL: []string{"db"}}, health.State{})
		level, _, key = web.Verdict(s, j, moment)
		return level, key
	}
	level, key := verdict()
	query, row, metadata := strings.Index(key, "query_time"), strings.Index(key, "chain row"), strings.Index(key, "chain metadata")
	if level != "critical" || row < 0 || metadata < row || query < metadata || strings.Contains(key, "chain global") {
		t.Errorf("%s: %s", level, key)
	}
	s.Pools, s.Queues = nil, nil
	for i := range s.Workers { // more workers, so that it is but a warning for the apps
		s.Workers[i].Workers = append(s.Workers[i].Workers, model.Worker{Slot: "8", State: "idle"}, model.Worker{Slot: "9", State: "idle"})
	}
	if level, key := verdict(); level != "critical" || !strings.HasPrefix(key, "warning ") || !strings.Contains(key, "critical  query_time db") {
		t.Errorf("%s: %s", level, key)
	}
}
