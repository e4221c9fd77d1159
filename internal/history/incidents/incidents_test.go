package incidents

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/history/records"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func stateDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/lib", "incidents-") //nolint:usetesting // t.TempDir is below /tmp, where all may write
	if err != nil {
		t.Fatalf("this test needs a directory in /var/lib: run it as root: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// fault is harm of an app in some seconds after noon.
type fault struct {
	from, to int
	cause    model.Cause
}

// state is what one look shows while faults are there.
func state(now time.Time, faults []fault) *model.State {
	s := &model.State{Apps: []model.App{{Name: "shop", Up: true}}}
	b := model.Bottleneck{App: "shop"}
	for i, f := range faults {
		from, to := noon().Add(time.Duration(f.from)*time.Second), noon().Add(time.Duration(f.to)*time.Second)
		if now.Before(from) || !now.Before(to) {
			continue
		}
		wait := now.Sub(from).Seconds()
		b.Harm.Stuck, b.Harm.Latency = model.Known(float64(1+i%3)), model.Known(wait)
		b.Cause, b.Since, b.Peer = f.cause, from.Add(2*time.Second), "mysql:main"
		b.Chain = &model.Chain{App: "shop", On: "mysql", Seconds: wait, Victims: make([]model.Link, 1+i%4), Links: []model.Link{{Connection: uint64(i + 1)}}}
	}
	s.Bottlenecks = []model.Bottleneck{b}
	return s
}

// watch calls a recorder's look each 5 s, and its write each second.
func watch(r *Recorder, from, to int, faults []fault) {
	for i := from; i < to; i++ {
		now := noon().Add(time.Duration(i) * time.Second)
		if i%5 == 0 {
			r.Observe(now, state(now, faults))
		}
		r.write(now)
	}
}

// tenFaults are one after another, some right after the one before but for a moment.
func tenFaults() []fault {
	causes := Causes()
	var out []fault
	at := 31
	for i := range 10 {
		out = append(out, fault{at, at + 40 + 7*i, causes[i%6]})
		at = out[i].to + []int{45, 12, 31}[i%3]
	}
	return out
}

func check(t *testing.T, got []model.Incident, faults []fault) {
	t.Helper()
	slices.Reverse(got)
	if len(got) != len(faults) {
		t.Fatalf("%d incidents, want %d: %+v", len(got), len(faults), got)
	}
	for i, x := range got {
		from, to := noon().Add(time.Duration(faults[i].from)*time.Second), noon().Add(time.Duration(faults[i].to)*time.Second)
		if x.Start.Sub(from).Abs() > 5*time.Second || x.End.Sub(to).Abs() > 5*time.Second || x.Cause != faults[i].cause || x.Peer != "mysql:main" {
			t.Errorf("fault %d, %s from %s to %s, is %s from %s to %s", i, faults[i].cause, from, to, x.Cause, x.Start, x.End)
		}
		length := to.Sub(from).Seconds()
		if x.Worst.Latency == nil || *x.Worst.Latency > length || *x.Worst.Latency < length-5 || *x.Worst.Stuck != float64(1+i%3) || x.Worst.Queue != nil {
			t.Errorf("the worst of fault %d is %+v", i, x.Worst)
		}
		if x.Chain == nil || x.Chain.Links[0].Connection != uint64(i+1) || x.Chain.Seconds < length-5 {
			t.Errorf("the chain of fault %d is %+v", i, x.Chain)
		}
	}
}

func TestTenFaults(t *testing.T) {
	dir := stateDir(t)
	faults := tenFaults()
	r := New(Options{StateDir: dir})
	watch(r, 0, faults[9].to+60, faults)
	check(t, r.Incidents(0), faults)
	list, _, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	check(t, list, faults)
	total := uint64(0)
	all := r.Totals()
	for _, x := range all.Totals {
		total += x.Count
	}
	if total != 10 || len(all.Open) != 0 || len(all.Totals) != len(Causes()) || !all.Stored {
		t.Errorf("%+v", all)
	}
	if list := r.Incidents(3); len(list) != 3 || list[0].Cause != faults[9].cause {
		t.Errorf("the last three are %+v", list)
	}
}

// After SIGKILL in an incident, the incident continues after a restart, and no other one
// is lost.
func TestKilledInTheMiddle(t *testing.T) {
	faults := tenFaults()
	for _, gap := range []int{2, 30} {
		for _, at := range []int{faults[3].from + 25, faults[6].to - 3, faults[8].from + 41} {
			t.Run(fmt.Sprint(gap, " s at ", at), func(t *testing.T) {
				dir := stateDir(t)
				first := New(Options{StateDir: dir})
				watch(first, 0, at, faults)
				first.store.close() // the kernel does that
				second := New(Options{StateDir: dir})
				watch(second, (at+gap)/5*5+5, faults[9].to+60, faults)
				got := second.Incidents(0)
				if len(got) != 10 {
					t.Fatalf("%d incidents: %+v", len(got), got)
				}
				slices.Reverse(got)
				interrupted := 0
				for i, x := range got {
					from, to := noon().Add(time.Duration(faults[i].from)*time.Second), noon().Add(time.Duration(faults[i].to)*time.Second)
					if x.Interrupted {
						interrupted++
						to = latest(to, noon().Add(time.Duration(at+gap+5)*time.Second))
					}
					if x.Start.Sub(from).Abs() > 5*time.Second || x.End.Sub(to).Abs() > 5*time.Second && !x.Interrupted || x.End.After(to.Add(5*time.Second)) || x.Cause != faults[i].cause {
						t.Errorf("fault %d from %s to %s is %+v", i, from, to, x)
					}
				}
				if interrupted != 1 {
					t.Errorf("%d are interrupted", interrupted)
				}
			})
		}
	}
}

// After hours nobody knows whether it was the same incident.
func TestDownForLong(t *testing.T) {
	dir := stateDir(t)
	faults := []fault{{30, 10_000, model.CausePool}}
	first := New(Options{StateDir: dir})
	watch(first, 0, 200, faults)
	first.store.close()
	second := New(Options{StateDir: dir})
	watch(second, 5000, 5100, faults)
	got := second.Incidents(0)
	if len(got) != 2 || !got[0].End.IsZero() || got[1].End.IsZero() || !got[1].Interrupted || got[1].End.After(noon().Add(205*time.Second)) || got[1].End.Before(noon().Add(140*time.Second)) {
		t.Errorf("%+v", got)
	}
	if all := second.Totals(); len(all.Open) != 1 || all.Open[0].Cause != model.CausePool || all.Open[0].App != "shop" {
		t.Errorf("%+v", all.Open)
	}
}

// A sign of harm in one look is no incident, and a cause that does not hold is not its.
func TestNoise(t *testing.T) {
	r := New(Options{})
	watch(r, 0, 300, []fault{{31, 34, model.CausePool}, {101, 104, model.CausePool}})
	if got := r.Incidents(0); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	r = New(Options{})
	for i := range 30 {
		now := noon().Add(time.Duration(i*5) * time.Second)
		s := state(now, []fault{{5, 60, []model.Cause{model.CausePool, model.CauseDBSlow}[i%2]}})
		if len(s.Bottlenecks) > 0 {
			s.Bottlenecks[0].Since = time.Time{}
		}
		r.Observe(now, s)
	}
	got := r.Incidents(0)
	if len(got) != 1 || got[0].Cause != "" || got[0].End.IsZero() {
		t.Errorf("%+v", got)
	}
	for _, x := range r.Totals().Totals {
		if x.Count != 0 && x.Cause != unknownName {
			t.Errorf("%+v", x)
		}
	}
}

// TestCauseOfNow checks an incident whose harm came before a known cause: it is shown with the
// cause of the last look, but not counted with it until the cause has held.
func TestCauseOfNow(t *testing.T) {
	r := New(Options{})
	for i := range 13 {
		now := noon().Add(time.Duration(i*5) * time.Second)
		s := &model.State{Apps: []model.App{{Name: "shop"}}, Workers: []model.AppWorkers{{App: "shop", Counts: &model.WorkerCounts{Stuck: 2}}}}
		if i >= 10 {
			s.Chains = []model.Chain{{App: "shop", On: "mysql", Kind: "row", Peer: "mysql:main", Seconds: float64(5*i - 45), Victims: make([]model.Link, 2), Links: make([]model.Link, 1)}}
		}
		r.Observe(now, s)
		want := model.Cause("")
		if i >= 10 {
			want = model.CauseDBLock
		}
		if got := r.Incidents(0); i > 3 && (len(got) != 1 || got[0].Cause != want) {
			t.Errorf("look %d: %+v", i, got)
		}
		if open := r.Totals().Open; len(open) != 0 {
			t.Errorf("look %d: %+v", i, open)
		}
	}
}

// Without a bottleneck of the app its workers and chains show harm.
func TestWithoutBottleneck(t *testing.T) {
	r := New(Options{})
	for i := range 20 {
		now := noon().Add(time.Duration(i*5) * time.Second)
		s := &model.State{Apps: []model.App{{Name: "shop"}}}
		if i >= 4 && i < 12 {
			s.Workers = []model.AppWorkers{{App: "shop", Counts: &model.WorkerCounts{Stuck: 2}}}
			s.Chains = []model.Chain{{App: "shop", On: "mysql", Kind: "row", Peer: "mysql:main", Seconds: float64(5*i - 10), Victims: make([]model.Link, 2), Links: make([]model.Link, 1)}}
		}
		r.Observe(now, s)
	}
	got := r.Incidents(0)
	if len(got) != 1 || got[0].Cause != model.CauseDBLock || got[0].Start.Sub(noon()) != 10*time.Second || got[0].End.Sub(noon()) != 55*time.Second || *got[0].Worst.Stuck != 2 {
		t.Errorf("%+v", got)
	}
}

func TestEndsAndActions(t *testing.T) {
	dir := stateDir(t)
	var runs []Run
	said := 0
	r := New(Options{
		StateDir: dir, Runs: func() []Run { return runs },
		Words: func(pid int, end time.Time, reason string) (model.LastWords, bool) {
			said++
			return model.LastWords{
				App: "shop", Slot: "1", PID: pid, Ended: end, Reason: reason, Digest: "SELECT ?", Blocker: &model.Link{Connection: 9, Stack: &model.Stack{View: "refund"}},
				Thread: model.Thread{TID: pid, Main: true, On: "mysql", Peer: "mysql:main", Seconds: 3, Stack: &model.Stack{View: "pay", Own: model.Frame{Function: "pay", File: "/srv/billing.py", Line: 131}}},
			}, true
		},
	})
	faults := []fault{{30, 100, model.CausePool}}
	at := func(s int) time.Time { return noon().Add(time.Duration(s) * time.Second) }
	runs = []Run{{"old", "shop", at(10)}, {"mine", "shop", at(50)}, {"other", "blog", at(50)}, {"any", "", at(51)}}
	watch(r, 0, 60, faults)
	for i, e := range []Ended{
		{App: "shop", PID: 1, At: at(20), Reason: "signal"}, {App: "shop", PID: 2, At: at(58), Reason: "timeout"}, {App: "shop", PID: 3, At: at(58), Reason: "timeout"},
		{App: "shop", PID: 4, At: at(58), Reason: "recycled", Finished: true}, {App: "shop", PID: 5, At: at(58), Reason: "exit", Finished: true},
		{App: "shop", PID: 6, At: at(58), Reason: "unknown"}, {App: "blog", PID: 7, At: at(59), Reason: "oom"},
	} {
		r.WorkerEnded(e)
		if want := []int{1, 2, 3, 3, 3, 3, 4}[i]; said != want {
			t.Errorf("after end %d: asked %d times, want %d", i, said, want)
		}
	}
	watch(r, 60, 130, faults)
	list, words, err := Read(dir)
	if err != nil || len(list) != 1 || len(words) != 4 {
		t.Fatalf("%v, %d incidents, %d last words", err, len(list), len(words))
	}
	x := list[0]
	if x.Ends["timeout"] != 2 || x.Ends["recycled"] != 1 || x.Ends["exit"] != 1 || x.Ends["signal"] != 0 || x.Ends["oom"] != 0 || !slices.Equal(x.Actions, []string{"mine", "any"}) {
		t.Errorf("%+v", x)
	}
	want := r.LastWords(0)
	for i := range words {
		a, _ := json.Marshal(words[i])
		b, _ := json.Marshal(want[i])
		if string(a) != string(b) {
			t.Errorf("written: %s\nkept: %s", a, b)
		}
	}
	again := New(Options{StateDir: stateDir(t)})
	again.Observe(noon(), &model.State{})
	if len(again.LastWords(0)) != 0 {
		t.Error("another directory has last words")
	}
}

// A damaged file is set aside; what was sound is written again.
func TestDamagedLines(t *testing.T) {
	for name, damage := range map[string]func(content string) string{
		"torn":       func(s string) string { return s + `{"id":"x","app":"sh` },
		"no JSON":    func(s string) string { return s + "hello\n" },
		"no id":      func(s string) string { return "{}\n" + s },
		"zero bytes": func(s string) string { return s + strings.Repeat("\x00", 100) + "\n" },
		"long line":  func(s string) string { return s + strings.Repeat("x", 300<<10) + "\n" },
	} {
		t.Run(name, func(t *testing.T) {
			dir := stateDir(t)
			faults := tenFaults()
			first := New(Options{StateDir: dir})
			watch(first, 0, faults[9].to+60, faults)
			first.store.close()
			b, err := os.ReadFile(dir + "/incidents.jsonl") //nolint:gosec // of this test
			if err == nil {
				err = os.WriteFile(dir+"/incidents.jsonl", []byte(damage(string(b))), 0o600) //nolint:gosec // of this test
			}
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				again := New(Options{StateDir: dir})
				watch(again, 2000, 2020, nil)
				check(t, again.Incidents(0), faults)
				again.store.close()
			}
			_, err = os.Stat(dir + "/incidents.damaged")
			if aside := err == nil; aside != (name != "torn") {
				t.Errorf("set aside: %v, %v", aside, err)
			}
		})
	}
}

// The files keep their size; an incident that is open is in the new one.
func TestRotation(t *testing.T) {
	dir := stateDir(t)
	r := New(Options{StateDir: dir})
	r.Observe(noon(), state(noon(), nil))
	open := &tracked{incident: model.Incident{ID: "open", App: "blog", Start: noon()}, open: true, seen: noon()}
	r.state.apps["blog"] = open
	for i := range 3000 {
		x := &tracked{open: true, seen: noon(), incident: model.Incident{
			ID: fmt.Sprint("x", i), App: "shop", Start: noon(), End: noon().Add(time.Second), Chain: &model.Chain{App: "shop", Victims: make([]model.Link, 16), Links: make([]model.Link, 4)},
		}}
		r.mu.Lock()
		r.state.tell(x)
		r.mu.Unlock()
		r.write(noon().Add(time.Duration(i) * time.Second))
	}
	size := int64(0)
	for _, name := range []string{"/incidents.jsonl", "/incidents.1.jsonl"} {
		info, err := os.Stat(dir + name)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("%s: %v", name, err)
		}
		size += info.Size()
	}
	if size > 4<<20 || size < 2<<20 {
		t.Errorf("%d bytes", size)
	}
	r.store.close()
	again := New(Options{StateDir: dir})
	again.Observe(noon().Add(time.Minute), &model.State{})
	got := again.Incidents(0)
	if !slices.ContainsFunc(got, func(x model.Incident) bool { return x.ID == "open" && x.End.IsZero() && x.Interrupted }) || !slices.ContainsFunc(got, func(x model.Incident) bool { return x.ID == "x2999" }) {
		t.Errorf("%d incidents, without the one that is open", len(got))
	}
}

// Where nothing can be written, all is in memory and told.
func TestMemoryOnly(t *testing.T) {
	faults := tenFaults()
	r := New(Options{StateDir: "/var/lib/history-none/state"})
	watch(r, 0, faults[9].to+60, faults)
	check(t, r.Incidents(0), faults)
	if all := r.Totals(); all.Stored || !errors.Is(all.Why, os.ErrNotExist) {
		t.Errorf("%+v", all)
	}
}

// Where nothing can be written, that is logged once, in one line that says why and what to
// do; a directory that appears later is used, also without anything new to write.
func TestStateDirectoryLater(t *testing.T) {
	var log bytes.Buffer
	dir := stateDir(t) + "/state"
	r := New(Options{StateDir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	faults := tenFaults()
	watch(r, 0, faults[1].to+20, faults)
	text := log.String()
	if strings.Count(text, "\n") != 1 || strings.Count(text, "no such file") != 1 || !strings.Contains(text, "in memory only") || !strings.Contains(text, "remedy=\"install -d -m 0700 "+dir) {
		t.Errorf("logged:\n%s", text)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	later := noon().Add(time.Hour)
	r.write(later)
	if all := r.Totals(); !all.Stored || all.Why != nil {
		t.Errorf("%+v", all)
	}
	r.write(later.Add(time.Second))
	r.store.close()
	if list, _, err := Read(dir); err != nil || len(list) != 2 {
		t.Errorf("%d incidents were written, %v", len(list), err)
	}
	if log.String() != text {
		t.Errorf("logged:\n%s", log.String())
	}
}

// FuzzLines checks that reading any file does not panic, and that no complete valid line
// before damage is lost.
func FuzzLines(f *testing.F) {
	good, err := json.Marshal(line{Incident: records.OfIncident(&model.Incident{ID: "a", App: "shop", Start: noon(), Chain: &model.Chain{Links: make([]model.Link, 2)}})})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"id":"a","seen":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"id":"b","app":"x","start":"2026-01-01T00:00:00Z","actions":null,"worker_ends":{"a":1},"chain":{"links":[{}]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		in := readIncidents{of: make(map[string]*line)}
		if !in.take(good) {
			t.Fatal("a good line is damaged")
		}
		in.take(b)
		for _, id := range in.order {
			m := in.of[id].Model()
			again := records.OfIncident(&m)
			if again.ID != id {
				t.Fatalf("%q became %q", id, again.ID)
			}
		}
		if len(in.order) == 0 || in.order[0] != "a" {
			t.Fatal("the good line is lost")
		}
		words := readWords{}
		words.take(b)
	})
}
