package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// storm is what a thousand notifications a second for ten seconds came to.
type storm struct {
	mu      sync.Mutex
	answers map[string]int      // by status, with the text of a refusal
	taken   map[string]bool     // names of alerts of which at least one got 202
	refused map[string]string   // by name, the first notification that got 503
	took    time.Duration       // all of it
	slowest time.Duration       // scrape
	biggest int                 // MB that were resident at a scrape
	seen    func(metrics) error // of each scrape; nil: nothing is looked at
}

// blow sends many notifications to an exporter, each of another alert, and scrapes it
// meanwhile. name returns the name of the n-th alert.
func (s *storm) blow(t *testing.T, x *exporter, name func(n int) string) {
	t.Helper()
	s.answers, s.taken, s.refused = map[string]int{}, map[string]bool{}, map[string]string{}
	x.client.Transport = &http.Transport{MaxIdleConnsPerHost: 16, MaxConnsPerHost: 16}
	const senders, each = 10, 1000
	begin := time.Now()
	var wg sync.WaitGroup
	for sender := range senders {
		wg.Go(func() {
			for i := range each { // a hundred a second
				if wait := time.Until(begin.Add(time.Duration(i) * 10 * time.Millisecond)); wait > 0 {
					time.Sleep(wait) // the rate of the load
				}
				n := i*senders + sender
				s.send(x, name(n), n)
			}
		})
	}
	ended := make(chan struct{})
	go func() { wg.Wait(); close(ended) }()
	for blowing := true; blowing; {
		select {
		case <-ended:
			blowing = false
		case <-time.After(700 * time.Millisecond):
		}
		at := time.Now()
		m := x.scrape(t)
		s.slowest = max(s.slowest, time.Since(at))
		s.biggest = max(s.biggest, residentMB(t, x.Proc))
		if s.seen != nil {
			if err := s.seen(m); err != nil {
				t.Error(err)
			}
		}
	}
	s.took = time.Since(begin)
	t.Logf("%d notifications in %s: %v; at most %d MB resident; the slowest scrape took %s",
		senders*each, s.took.Round(time.Millisecond), s.answers, s.biggest, s.slowest.Round(time.Millisecond))
	if s.slowest > scaled(punctual) {
		t.Errorf("a scrape took %s", s.slowest)
	}
	if s.biggest > 100 {
		t.Errorf("%d MB", s.biggest)
	}
	for answer := range s.answers {
		if answer != "202" && !strings.HasPrefix(answer, "503") {
			t.Errorf("an answer is %s", answer)
		}
	}
}

// send sends one notification and notes the answer.
func (s *storm) send(x *exporter, name string, n int) {
	text := notification(name, fmt.Sprint(n))
	status, body, err := x.post("/api/v1/alerts", text, healToken)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch answer := fmt.Sprint(status); {
	case err != nil:
		s.answers[err.Error()]++
	case status == http.StatusAccepted:
		s.answers[answer]++
		s.taken[name] = true
	default:
		s.answers[answer+" "+strings.TrimSpace(body)]++
		if s.refused[name] == "" && status == http.StatusServiceUnavailable {
			s.refused[name] = text
		}
	}
}

// TestHealingStorm sends many alerts about one target: the first one starts a run and the
// cooldown. It checks that journal and memory are bounded, and that scrapes are in time.
func TestHealingStorm(t *testing.T) { // alone: what it takes of the machine would be the others' trouble
	state := openDir(t)
	x := watch(t, export{config: healing(t, "  queue_size: 64"), args: []string{"--state.dir=" + state}})
	var s storm
	s.blow(t, x, func(int) string { return "Sick" })
	if n := len(x.runs(t).Runs); n != 1 || s.answers["202"] == 0 {
		t.Errorf("%d runs", n)
	}
	smallJournal(t, state)
}

// TestHealingStormFullQueue sends many alerts to a full queue while each action takes its
// time. An alert that does not fit gets 503 and is not kept; each with 202 is in the
// journal and is done once, and each with 503 when it is sent again.
func TestHealingStormFullQueue(t *testing.T) { // alone, as the other one, until the storm is over
	const targets, place = 18, 4
	state := openDir(t)
	token := write(t, filepath.Join(t.TempDir(), "token"), healToken+"\n")
	lines := []string{"healing:", "  mode: enforce", "  warmup: 0s", "  token_file: " + token, fmt.Sprintf("  queue_size: %d", place), "  budgets: {max_runs: 100}", "  rules:"}
	takes := min(scaled(2*time.Second), 5*time.Second) // where the storm lasts longer, too, or all targets are taken in it
	for i := range targets {
		lines = append(lines, fmt.Sprintf("    - {name: slow%d, match: {alertname: Slow%d}, steps: [{action: run_command, with: {argv: [/bin/sleep, \"%.1f\"]}}]}", i, i, takes.Seconds()))
	}
	x := watch(t, export{config: joined(lines...), args: []string{"--state.dir=" + state}})
	full := 0
	s := storm{seen: func(m metrics) error {
		n, _ := m.sum("resp_heal_queue_length")
		if n == place {
			full++
		}
		return wants("more wait than there is place for", n > place, false)
	}}
	name := func(n int) string { return fmt.Sprintf("Slow%d", n%targets) }
	s.blow(t, x, name)
	if refused := s.answers[`503 {"error":"the queue is full"}`]; full < 3 || refused < 1000 || len(s.taken) < place || len(s.taken) == targets {
		t.Fatalf("the queue was full at %d scrapes, of %d targets %d were taken, %d notifications refused", full, targets, len(s.taken), refused)
	}
	// As soon as it is accepted it is written down.
	written := runsWritten(t, state)
	for name := range s.taken {
		if written[strings.ToLower(name)] != 1 {
			t.Errorf("%s was accepted, and has %d runs in the journal", name, written[strings.ToLower(name)])
		}
	}
	if err := x.scrape(t).want(float64(len(s.taken)), "resp_heal_alerts_total", "outcome=queued"); err != nil || len(written) != len(s.taken) {
		t.Errorf("%d were accepted, %d are in the journal: %v", len(s.taken), len(written), err)
	}
	t.Parallel()
	eventually(t, 60*time.Second, func() error { // what is left is sent again, as Alertmanager does
		for i := range targets {
			if s.taken[name(i)] {
				continue
			}
			status, body, err := x.post("/api/v1/alerts", s.refused[name(i)], healToken)
			if err != nil || status != http.StatusAccepted {
				return fmt.Errorf("%s: %d %s %w", name(i), status, body, err)
			}
			s.taken[name(i)] = true
		}
		return nil
	})
	eventually(t, 60*time.Second, func() error {
		return x.scrape(t).want(targets, "resp_heal_runs_total", "action=run_command", "result=verified")
	})
	m := x.scrape(t)
	for i := range targets {
		if err := m.want(1, "resp_heal_runs_total", fmt.Sprintf("rule=slow%d", i)); err != nil {
			t.Error(err)
		}
	}
	smallJournal(t, state)
}

// journal returns the names of the journal's files.
func journal(t *testing.T, state string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(state, "journal*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no journal: %v", err)
	}
	return files
}

// runsWritten counts the runs of each rule that are in the journal.
func runsWritten(t *testing.T, state string) map[string]int {
	t.Helper()
	rules, out := map[string]string{}, map[string]int{}
	for _, name := range journal(t, state) {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20) // evidence makes them long
		for lines.Scan() {
			var e struct{ Run *struct{ ID, Rule string } }
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				t.Fatalf("%v: %.300s", err, lines.Text())
			}
			if e.Run != nil {
				rules[e.Run.ID] = e.Run.Rule
			}
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, rule := range rules {
		out[rule]++
	}
	return out
}

// smallJournal fails the test if a file of the journal is bigger than it may be.
func smallJournal(t *testing.T, state string) {
	t.Helper()
	for _, name := range journal(t, state) {
		if info, err := os.Stat(name); err != nil || info.Size() > 9<<20 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func residentMB(t *testing.T, p *run.Proc) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	var size, resident int
	if _, err := fmt.Sscan(string(b), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * os.Getpagesize() >> 20
}
