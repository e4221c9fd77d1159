package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// markingApp creates a file for each request that it works on, named by the request, and
// another one, which stays, once it has begun.
const markingApp = `import os, time
def app(environ, start_response):
    what = environ["PATH_INFO"].split("/")
    if what[1] in ("sleep", "spin"):
        mark = os.path.join(os.environ["MARKS"], what[3])
        open(mark, "w").close()
        open(mark + ".begun", "w").close()
        if what[1] == "sleep": time.sleep(float(what[2]))
        end = time.monotonic() + float(what[2])
        while what[1] == "spin" and time.monotonic() < end: pass
        os.unlink(mark)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
`

// TestTruthRequestIsSeenAtOnce checks that a request is reported at the first scrape after
// it was accepted, also if the kernel listed connections a moment before.
func TestTruthRequestIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	need(t, "gunicorn", "uwsgi", "waitress-serve")
	marks := openDir(t)
	env := []string{"MARKS=" + marks}
	all := stacks(t, 0,
		stackOf{kind: "gthread", server: "gunicorn", workers: 1, source: markingApp, env: env, args: []string{"--threads", "3"}},
		stackOf{kind: "uWSGI", server: "uwsgi", workers: 1, source: markingApp, env: env},
		stackOf{kind: "waitress", server: "waitress", workers: 1, source: markingApp, env: env},
		stackOf{kind: "asked before", server: "gunicorn", workers: 1, source: markingApp, env: env, args: []string{"--threads", "2"}},
	)
	own := strings.Replace(shortTimes(all), "monitoring_interval: 1s", "monitoring_interval: 1m", 1) // a scrape may share a look of the exporter's own
	x := watch(t, export{config: own, args: []string{"--no-collector.host", "--no-collector.disk"}})
	eventually(t, 20*time.Second, func() error { return allRest(x.scrape(t), all) })
	before := all[len(all)-1]
	for round := range 8 {
		for i, s := range all[:len(all)-1] {
			other, mark := fmt.Sprintf("o%d-%d", round, i), fmt.Sprintf("m%d-%d", round, i)
			before.behind("/sleep/1.0/" + other)
			begins(t, filepath.Join(marks, other))
			x.scrape(t) // reads the kernel's connections, since one is accepted
			does := "sleep"
			if round%2 == 0 {
				does = "spin"
			}
			s.behind("/" + does + "/1.5/" + mark)
			begins(t, filepath.Join(marks, mark))
			passes(t, 50*time.Millisecond, "scrapes within 20 ms share a look")
			m := x.scrape(t)
			if _, err := os.Stat(filepath.Join(marks, mark)); err != nil {
				continue // a busy machine: it had ended
			}
			if err := m.want(1, "resp_app_workers", "app="+s.name, "state=busy"); err != nil {
				t.Errorf("%s, %s: %v", s.kind, does, err)
			}
			passes(t, 2*time.Second, "the budget of looks at the kernel recovers")
		}
	}
}

// begins waits until the app has begun a request.
func begins(t *testing.T, mark string) {
	t.Helper()
	poll(t, 10*time.Second, 5*time.Millisecond, func() error {
		_, err := os.Stat(mark + ".begun")
		return err
	})
}
