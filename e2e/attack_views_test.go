package e2e_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

// namesApp is an app with a view for each of 400 names, among them names with line ends,
// quotes, control characters, text from right to left, no character at all, and 100,000
// characters. The frames of a view bear its name; so do the file and the line.
const namesApp = `import time
from flask import Flask
app = Flask(__name__)
bad = ['a"} 1\nresp_up{component="app:x', "\x1b[2J\x1b]0;x\x07", "\u202egnp.exe", "\udcff\udc80", "x" * 100000, "", " ", "\\", "<script>alert(1)</script>", "\u0000"]

def handler(name):
    def view():
        time.sleep(0.25)
        return "ok"
    view.__code__ = view.__code__.replace(co_name=name, co_qualname=name, co_filename="/srv/" + name + ".py")
    return view

for i in range(400):
    app.add_url_rule("/v/%d" % i, endpoint="e%d" % i, view_func=handler(bad[i % len(bad)] + (str(i) if i >= len(bad) else "")))

@app.get("/healthz")
def healthz(): return "ok"
`

// TestAttackViews checks that an app with hostile names of views, of any number, has at
// most 100 views and "other", that labels are clean and short, that JSON and the page stay
// whole, and that another app keeps its own view.
func TestAttackViews(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	real := b.serve(t, launch{args: []string{"--timeout", "600"}})
	dir := openDir(t)
	evil := serve(t, launch{
		server: "gunicorn", name: unique("evil"), source: write(t, filepath.Join(dir, "names.txt"), namesApp),
		dir: dir, args: []string{"--threads", "8", "--chdir", dir}, wrap: b.in(attacker),
	})
	x := b.watch(t, export{config: "diagnosis: {sample_rate: 20}\n"})
	eventually(t, 30*time.Second, func() error {
		return all(wants("status", evil.get("/healthz"), 200), seen(x.scrape(t), real, "gunicorn", 2))
	})
	real.behind("/slow?s=600")
	views := map[string]bool{}
	eventually(t, 40*time.Second, func() error { // where samples are rare, once is not enough
		var senders sync.WaitGroup
		for first := range 8 {
			senders.Go(func() {
				for i := first; i < 400; i += 8 {
					evil.get(fmt.Sprintf("/v/%d", i))
				}
			})
		}
		senders.Wait()
		m := x.scrape(t)
		clear(views)
		m.each("resp_view_seconds_total", []string{"app=" + evil.name}, func(labels map[string]string, _ float64) { views[labels["view"]] = true })
		left, _ := m.sum("resp_series_dropped_total", "family=waits_view")
		return all(wants(fmt.Sprintf("%d views are enough, with other", len(views)), len(views) >= 50 && views["other"], true),
			wants("what is counted as other has a counter", left > 0, true), m.has("resp_view_seconds_total", "app="+real.name, "on=sleep"))
	})
	t.Logf("%d views", len(views))
	if len(views) > 101 {
		t.Errorf("%d views", len(views))
	}
	for v := range views {
		if !utf8.ValidString(v) || len(v) > 200 || strings.ContainsAny(v, "\n\r\x1b\x00\x07\u202e") {
			t.Errorf("view %q", v[:min(len(v), 300)])
		}
	}
}
