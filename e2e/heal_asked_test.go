package e2e_test

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asked is an app that an exporter may ask to do something, by its control file.
type asked struct {
	*sick

	args   []string // of the exporter
	memory string   // the warning threshold of memory in its configuration
	home   string   // the directory above that of its directory
	file   string   // the control file
}

// startAsked starts gunicorn with two workers, and an exporter whose rule for the alert Sick
// has these steps. The memory of the app is unhealthy.
func startAsked(t *testing.T, source string, steps ...string) *asked {
	t.Helper()
	return startAskedBy(t, filepath.Join(openDir(t), "run", "control"), source, steps...)
}

// startAskedBy is [startAsked] with a directory of control files, "" for none.
func startAskedBy(t *testing.T, control, source string, steps ...string) *asked {
	t.Helper()
	return startAskedAs(t, askedAs{source: source, control: control, alert: "Sick", warning: "0.00001", critical: "0.99", cooldown: "60s"}, steps...)
}

// askedAs describes how to start an app that is asked.
type askedAs struct {
	source, alert, warning, critical, cooldown string
	control                                    string   // the exporter's directory of control files; "": none
	wrap                                       []string // a program that runs the app
	alone                                      bool     // the app follows no control file
	servers, shared                            string   // more of the configuration: the section redis, a line of healing
}

// startAskedAs does the same with other settings. MODULE and LIB in the steps stand for the
// module of the app and the directory of resp_flask.py.
func startAskedAs(t *testing.T, o askedAs, steps ...string) *asked {
	t.Helper()
	need(t, "gunicorn", python)
	lib, err := filepath.Abs(integration)
	if err != nil {
		t.Fatal(err)
	}
	port, module := freePort(t), unique("asked")
	a := &asked{sick: &sick{state: filepath.Join(openDir(t), "state")}, memory: o.warning}
	a.token = write(t, filepath.Join(t.TempDir(), "token"), healToken+"\n")
	if err := os.Chmod(a.token, 0o600); err != nil {
		t.Fatal(err)
	}
	control := o.control
	a.args = []string{"--state.dir=" + a.state, "--control.dir=" + control}
	if control == "" { // the app follows one, and nobody writes there
		control = filepath.Join(openDir(t), "run", "control")
	}
	a.home, a.file = filepath.Dir(filepath.Dir(control)), filepath.Join(control, "shop.json")
	config := o.servers + joined(append([]string{
		"monitoring_interval: 1s", "apps:", fmt.Sprintf("  - name: shop\n    match: {listen: \"127.0.0.1:%d\"}", port),
		"    thresholds: {memory: {warning: " + a.memory + ", critical: " + o.critical + "}}",
		"healing:" + o.shared, "  mode: enforce", "  warmup: 0s", "  token_file: " + a.token, "  rules:",
		"    - name: sick", "      match: {alertname: " + o.alert + "}", "      cooldown: " + o.cooldown, "      steps:",
	}, steps...)...)
	a.exporter = watch(t, export{args: a.args, config: strings.NewReplacer("MODULE", module, "LIB", lib).Replace(config)})
	env := append(withoutTitles(t), "RESP_STATSD=udp://"+a.udp)
	env[0] += ":" + lib
	if !o.alone {
		env = append(env, "CONTROL="+control)
	}
	a.shop = serve(t, launch{server: "gunicorn", name: module, source: o.source, port: port, args: []string{"-w", "2"}, env: env, wrap: o.wrap})
	a.shop.name = "shop"
	eventually(t, 30*time.Second, func() error { return seen(a.scrape(t), a.shop, "gunicorn", 2) })
	return a
}

// reports waits until both workers have served a request, and the exporter has their memory
// files.
func (a *asked) reports(t *testing.T) {
	t.Helper()
	eventually(t, 40*time.Second, func() error {
		for range 20 {
			a.shop.get("/")
		}
		kept := memoryFiles(a.PID())
		n := 0
		for _, pid := range a.scrape(t).pids("shop") {
			for inode := range memoryFiles(pid) {
				if kept[inode] {
					n++
				}
			}
		}
		return all(wants("workers with a memory file", n, 2), wants("status of the component memory", a.unhealthy(t), true))
	})
}

// unhealthy reports whether the memory of the app is judged so.
func (a *asked) unhealthy(t *testing.T) bool {
	t.Helper()
	v, _ := a.scrape(t).sum("resp_health_status", "app=shop", "component=memory")
	return v > 0
}

// shed sends requests and returns the share that was answered with 503.
func (a *asked) shed(path string, n int) float64 {
	shed := 0
	for range n {
		if a.shop.get(path) == http.StatusServiceUnavailable {
			shed++
		}
	}
	return float64(shed) / float64(n)
}

// heals changes the threshold, so that the memory of the app is healthy.
func (a *asked) heals(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(a.config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, a.config, strings.Replace(string(text), "warning: "+a.memory, "warning: 0.98", 1))
	if err := syscall.Kill(a.PID(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

const throttleStep = `        - {action: throttle, with: {percent: 50, component: memory, ttl: %s, ramp: 1s}, verify_within: 60s}`

// TestThrottle checks that an app sheds the share that it is asked for, but no health check,
// and serves all again when its component is healthy.
func TestThrottle(t *testing.T) {
	t.Parallel()
	a := startAsked(t, "shop/asked.py", fmt.Sprintf(throttleStep, "30s"), "        - {action: escalate}")
	a.reports(t)
	a.reported(t, "Sick", "app=shop")
	last := a.becomes(t, 30*time.Second, "sick", "verified")
	if last.Action != "throttle" || last.Done != 2 || last.Reason == "" {
		t.Errorf("%+v", last)
	}
	eventually(t, 20*time.Second, func() error { return a.scrape(t).want(0.5, "resp_heal_throttle_ratio", "app=shop") })
	eventually(t, 20*time.Second, func() error { // until each worker has read the file
		if share := a.shed("/", 600); share < 0.45 || share > 0.55 {
			return fmt.Errorf("%.0f %% of the requests were shed, want 50", 100*share)
		}
		return nil
	})
	if share := a.shed("/healthz", 100); share > 0 {
		t.Errorf("%.0f %% of the health checks were shed", 100*share)
	}
	a.heals(t)
	eventually(t, 30*time.Second, func() error {
		_, throttled := a.scrape(t).sum("resp_heal_throttle_ratio", "app=shop")
		_, err := os.Stat(a.file)
		return all(wants("throttled", throttled, false), wants("the control file is gone", os.IsNotExist(err), true))
	})
	eventually(t, 20*time.Second, func() error { // until each worker has noticed it
		if share := a.shed("/", 200); share > 0 {
			return fmt.Errorf("%.0f %% of the requests were shed afterwards", 100*share)
		}
		return nil
	})
}

// TestThrottleEndsWithTheExporter checks that an app serves all requests within the lease
// after its exporter was killed, and that the next exporter removes what was left behind.
func TestThrottleEndsWithTheExporter(t *testing.T) {
	t.Parallel()
	a := startAsked(t, "shop/asked.py", fmt.Sprintf(throttleStep, "6s"), "        - {action: escalate}")
	a.reports(t)
	a.reported(t, "Sick", "app=shop")
	a.becomes(t, 30*time.Second, "sick", "verified")
	eventually(t, 20*time.Second, func() error { return a.scrape(t).want(0.5, "resp_heal_throttle_ratio", "app=shop") })
	if err := syscall.Kill(a.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	if share := a.shed("/", 100); share == 0 {
		t.Error("nothing is shed right after the exporter was killed")
	}
	passes(t, time.Until(killed.Add(6500*time.Millisecond)), "the lease of 6 s, which is under test, expires")
	if share := a.shed("/", 200); share > 0 {
		t.Errorf("%.0f %% of the requests were shed after the lease", 100*share)
	}
	if _, err := os.Stat(a.file); err != nil {
		t.Fatalf("the killed exporter left no file behind: %v", err)
	}
	next := watch(t, export{args: a.args})
	eventually(t, 10*time.Second, func() error {
		_, err := os.Stat(a.file)
		return all(wants("the control file is gone", os.IsNotExist(err), true), next.scrape(t).want(1, "resp_heal_control_restored_total"))
	})
}

// TestCollectGarbage checks that the workers of an app collect reference cycles when they are
// asked, and that it is verified by what they freed.
func TestCollectGarbage(t *testing.T) {
	t.Parallel()
	a := startAsked(t, "shop/asked.py", "        - {action: collect_garbage, with: {stagger: 1s, min_freed: 0.2}, verify_within: 60s}", "        - {action: escalate}")
	a.reports(t)
	for range 12 {
		a.shop.get("/cycles/10")
	}
	before := a.memoryOfShop(t)
	a.reported(t, "Sick", "app=shop")
	last := a.becomes(t, 40*time.Second, "sick", "verified")
	after := a.memoryOfShop(t)
	t.Logf("%s; from %d to %d MiB", last.Reason, before>>20, after>>20)
	if last.Action != "collect_garbage" || last.Done != 2 || before-after < 60<<20 || !strings.HasPrefix(last.Reason, "2 of 2 workers") {
		t.Errorf("%+v, freed %d MiB", last, (before-after)>>20)
	}
	if _, err := os.Stat(a.file); !os.IsNotExist(err) {
		t.Errorf("the control file is still there: %v", err)
	}
}

// TestTraceMemory checks that one worker traces its memory when it is asked, that the line which
// keeps most is in the reason of the step, and that the next step follows.
func TestTraceMemory(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("shop/asked.py")
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := strings.Cut(string(source), "kept.append(bytearray(kb")
	keeps := strings.Count(before, "\n") + 1 // the line that keeps memory
	a := startAsked(t, "shop/asked.py", "        - {action: trace_memory, with: {duration: 5s}}", "        - {action: collect_garbage, with: {stagger: 0s, min_freed: 0}, verify_within: 60s}")
	a.reports(t)
	workers := a.scrape(t).pids("shop")
	a.reported(t, "Sick", "app=shop")
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(80 * time.Millisecond):
				a.shop.get("/keeps/256") // a few of them in 5 s are more than 1 MiB
			}
		}
	}()
	last := a.becomes(t, 60*time.Second, "sick", "verified")
	close(stop)
	<-done
	if last.Action != "collect_garbage" || len(last.Before) != 1 {
		t.Fatalf("%+v", last)
	}
	if b := last.Before[0]; b.Action != "trace_memory" || b.Result != "verified" || !strings.Contains(b.Reason, ".py line "+strconv.Itoa(keeps)) {
		t.Errorf("%+v", b)
	}
	eventually(t, 20*time.Second, func() error {
		s, err := a.status()
		if err != nil || len(s.Apps) != 1 || s.Apps[0].Reported == nil || len(s.Apps[0].Reported.Traces) != 1 {
			return fmt.Errorf("traces in the status: %+v, %w", s.Apps, err)
		}
		l := s.Apps[0].Reported.Traces[0].Lines[0]
		return all(wants("a file of the app", strings.HasSuffix(l.File, ".py"), true), wants("line", l.Line, keeps), wants("more than 1 MiB", l.Bytes > 1<<20, true))
	})
	if after := a.scrape(t).pids("shop"); !maps.Equal(workers, after) {
		t.Errorf("workers %v, %v before", after, workers)
	}
	if _, err := os.Stat(a.file); !os.IsNotExist(err) {
		t.Errorf("the control file is still there: %v", err)
	}
}

// memoryOfShop returns the resident bytes of both workers.
func (a *asked) memoryOfShop(t *testing.T) (total int) {
	t.Helper()
	for _, pid := range a.scrape(t).pids("shop") {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			t.Fatal(err)
		}
		var size, resident int
		if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
			t.Fatal(err)
		}
		total += resident * os.Getpagesize()
	}
	return total
}

// TestAskedWithoutIntegration checks that the steps that need the app side are unavailable
// for an app without it, and that the next steps begin.
func TestAskedWithoutIntegration(t *testing.T) {
	t.Parallel()
	a := startAsked(t, "shop/shop.py", "        - {action: collect_garbage, with: {stagger: 1s}}", fmt.Sprintf(throttleStep, "30s"), "        - {action: escalate}")
	a.reported(t, "Sick", "app=shop")
	last := a.becomes(t, 30*time.Second, "sick", "escalated")
	var results []string
	for _, b := range last.Before {
		results = append(results, b.Action+" "+b.Result)
	}
	if got := strings.Join(results, ", "); got != "collect_garbage unavailable, throttle unavailable" {
		t.Errorf("steps: %s; %+v", got, last)
	}
	if _, err := os.Stat(filepath.Dir(a.file)); !os.IsNotExist(err) {
		t.Errorf("the directory was made: %v", err)
	}
}
