package appside_test

import (
	"io"
	"os"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/appside"
)

// counting is an app with a pool and a task, which has lost 3 datagrams, and 4 more later.
const counting = `
import gc
r = resp_flask.Resp(statsd="", control_dir="")
m = r.here()
m.lost = 3
m.pool(0, b"main", (5, 2, 10, 1, 0, 1, 7, 0, resp_flask._now_ns()), 1, 42, b"cart.py\0checkout\0/checkout")
m.task(0, b"tidy", resp_flask.RUNNING, (1, 0, 0, 0, 0), resp_flask._now_ns(), 0, resp_flask._now_ns(), b"r-1")
m.sessions("shop:", 7200)
m.growth("t-1", [("/srv/cart.py", 42, 7, 1000)])
m.cycles()
print("ready", flush=True)
sys.stdin.readline()
m.lost = 7
m.judged(True, "low"); m.judged(True, "high"); m.judged(False, "low")
for _ in range(5): gc.collect()
m.cycles()
print("more", flush=True)
sys.stdin.read()
`

// What resp_flask.py writes is read as it is, and what workers count is added up, also what
// they counted last.
func TestWorkers(t *testing.T) {
	w := startWorker(t, counting)
	k := appside.NewKeeper("/proc")
	defer k.Close()
	k.Look("shop", uint32(os.Getuid()), w.pid, w.began, false)
	got := k.Workers()
	if len(got) != 1 || got[0].App != "shop" || got[0].PID != w.pid || len(got[0].States) != 1 {
		t.Fatalf("%+v", got)
	}
	s := got[0].States[0]
	site := appside.Site{File: "cart.py", Function: "checkout", Line: 42, Route: "/checkout"}
	if len(s.Pools) != 1 || s.Pools[0].Site != site || s.Pools[0].Size != 5 || s.Pools[0].InUse != 2 || s.Pools[0].Idle != 1 || s.Pools[0].LeakedThere != 1 {
		t.Errorf("pools %+v", s.Pools)
	}
	if len(s.Tasks) != 1 || s.Tasks[0].State != appside.TaskRunning || s.Sessions != (appside.Sessions{Prefix: "shop:", Lifetime: 2 * time.Hour}) {
		t.Errorf("tasks %+v, sessions %+v", s.Tasks, s.Sessions)
	}
	if len(s.Growth) != 1 || s.Growth[0] != (appside.Growth{Run: "t-1", File: "/srv/cart.py", Line: 42, Blocks: 7, Bytes: 1000}) {
		t.Errorf("growth %+v", s.Growth)
	}
	first := k.Totals()
	if len(first) != 1 || first[0].App != "shop" {
		t.Fatalf("totals %+v", first)
	}
	if _, err := io.WriteString(w.in, "\n"); err != nil || w.line(t) != "more" {
		t.Fatal(err)
	}
	k.Ended(w.pid, w.began, time.Now())
	last := k.Totals()
	if last[0].Lost-first[0].Lost != 4 || last[0].Collections[2]-first[0].Collections[2] < 5 || last[0].Shed != [3]uint64{1, 0, 1} {
		t.Errorf("%+v, then %+v", first, last)
	}
	if len(k.Workers()) != 0 {
		t.Error("an ended worker")
	}
}
