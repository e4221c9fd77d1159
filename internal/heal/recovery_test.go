package heal_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

const poolKey = config.ActionKillLeaked + "/app:shop/pool:main"

// runLine is a line of a run of the rule leaked, which acted at a time unless that is zero.
func runLine(id string, state journal.Decision, at, applied time.Time) journal.Entry {
	r := &journal.Run{
		ID: id, Rule: "leaked", State: state, Created: at.Add(-time.Second), Updated: at, Action: config.ActionKillLeaked, Target: "app:shop/pool:main",
		Alert: journal.Subject{Name: "RespPoolLeak", Fingerprint: "f-" + id, StartsAt: at, Labels: map[string]string{"app": "shop", "pool": "main"}}, Applied: applied,
	}
	return journal.Entry{At: at, Decision: state, Rule: r.Rule, Action: r.Action, Target: r.Target, Run: r}
}

// broken changes one line as text.
func broken(e journal.Entry, from, to string) string {
	text := string(lines(e))
	if changed := strings.Replace(text, from, to, 1); changed != text {
		return changed
	}
	panic(from + " is not in " + text)
}

// Each line that is none: it is counted, and nothing of it is resumed.
func TestBrokenLines(t *testing.T) {
	ago := noon.Add(-time.Minute)
	queued := runLine("r-1", "queued", ago, time.Time{})
	deep := strings.Repeat(`{"x":`, 5000) + "1" + strings.Repeat("}", 5000)
	for name, text := range map[string]string{
		"a step below 0":      broken(queued, `"step":0`, `"step":-1`),
		"a step of no rule":   broken(queued, `"step":0`, `"step":4611686018427387904`),
		"a step that is text": broken(queued, `"step":0`, `"step":"0"`),
		"a step with a point": broken(queued, `"step":0`, `"step":0.5`),
		"done below 0":        broken(queued, `"step":0`, `"step":0,"done":-1`),
		"approved below 0":    broken(queued, `"step":0`, `"step":0,"approved":{"total":-9223372036854775808}`),
		"too many approved":   broken(queued, `"step":0`, `"step":0,"approved":{"victims":[`+strings.Repeat(`"x",`, 200)+`"x"]}`),
		"too many steps":      broken(queued, `"step":0`, `"step":0,"before":[`+strings.Repeat(`{"result":"failed"},`, 100)+`{"result":"failed"}]`),
		"a total below 0":     broken(queued, `"step":0`, `"step":0,"plan":{"total":-1}`),
		"too many victims":    broken(queued, `"step":0`, `"step":0,"plan":{"victims":[`+strings.Repeat(`{},`, 200)+`{}]}`),
		"an unknown state":    broken(queued, `"state":"queued"`, `"state":"doing"`),
		"two states":          broken(queued, `"state":"queued"`, `"state":"running"`),
		"an unknown decision": broken(queued, `"decision":"queued"`, `"decision":"?"`),
		"no number":           broken(queued, `"id":"r-1"`, `"id":""`),
		"a number of another": broken(queued, `"id":"r-1"`, `"id":"../../etc/passwd"`),
		"a number too long":   broken(queued, `"id":"r-1"`, `"id":"`+strings.Repeat("r", 65)+`"`),
		"a rule too long":     broken(queued, `"rule":"leaked","alert"`, `"rule":"`+strings.Repeat("r", 1000)+`","alert"`),
		"a target of control": broken(queued, `"target":"app:shop/pool:main","run"`, `"target":"app:\u0000","run"`),
		"no time":             broken(queued, `"at":"2026`, `"at":"twenty`),
		"labels without end":  broken(queued, `"labels":{`, `"labels":{`+many(100)),
		"an empty object":     "{}\n", "a list": "[]\n", "null": "null\n", "a number alone": "1\n", "text": "hello\n", "zeros": strings.Repeat("\x00", 4096) + "\n",
		"no JSON": "{\"at\"\n", "no UTF-8": "\xff\xfe\n", "nested": deep + "\n", "nested in evidence": broken(queued, `"step":0`, `"step":0,"evidence":`+deep),
		"longer than any":   strings.Repeat("x", 300<<10) + "\n",
		"guards of a run":   broken(queued, `"step":0`, `"step":0`+`},"guards":{"part":1,"parts":1`),
		"a part of none":    `{"at":"2026-01-02T03:04:05Z","decision":"carried","guards":{"part":0,"parts":0}}` + "\n",
		"a part of billion": `{"at":"2026-01-02T03:04:05Z","decision":"carried","guards":{"part":1,"parts":999999999999}}` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			p, err := heal.Recall(section(nil), noon, [2][]byte{nil, []byte(text)})
			if err != nil || p.Bad != 1 || p.Runs != 0 {
				t.Errorf("%d bad, %d runs, %v", p.Bad, p.Runs, err)
			}
			dir := t.TempDir()
			try(t, os.WriteFile(filepath.Join(dir, "journal.jsonl"), []byte(text), 0o600))
			synctest.Test(t, func(t *testing.T) { // the exporter starts, says so, and heals
				b := start(t, dir, section(nil), nil)
				defer b.stop()
				if got, s := b.take(firing("pod", "new")), b.Stats(); got != "queued" || s.BadLines != 1 {
					t.Errorf("%s, %d bad", got, s.BadLines)
				}
			})
		})
	}
}

func many(n int) (labels string) {
	for i := range n {
		labels += fmt.Sprintf(`"l%d":"x",`, i)
	}
	return labels
}

// What a broken line says was done holds the target, and a run that waited is not
// begun when a later line is broken.
func TestBrokenLineAddsGuards(t *testing.T) {
	ago := noon.Add(-time.Minute)
	queued, acts, done := runLine("r-1", "queued", ago, time.Time{}), runLine("r-1", "running", ago, ago), runLine("r-1", "verified", ago, ago)
	lines := func(parts ...any) (out []byte) {
		for _, p := range parts {
			switch p := p.(type) {
			case journal.Entry:
				out = append(out, lines(p)...)
			case string:
				out = append(out, p...)
			}
		}
		return out
	}
	for name, c := range map[string]struct {
		journal []byte
		last    time.Time // of the target
		waiting int
		begun   int
		bad     int
	}{
		"a run that waits":                {lines(queued), time.Time{}, 1, 0, 0},
		"its next line is broken":         {lines(queued, broken(acts, `"step":0`, `"step":-1`)), noon, 0, 0, 1},
		"its next line is rubbish":        {lines(queued, "\x00\x00\n"), noon, 0, 0, 1},
		"rubbish came before":             {lines("\x00\x00\n", queued), time.Time{}, 1, 0, 1},
		"it acts":                         {lines(queued, acts), ago, 0, 1, 0},
		"it acts, and rubbish":            {lines(queued, acts, "x\n"), ago, 0, 1, 1},
		"it ended, and is told again":     {lines(queued, acts, done, queued), ago, 0, 0, 1},
		"it ended twice":                  {lines(queued, acts, done, runLine("r-1", "failed", ago, ago)), ago, 0, 0, 1},
		"it acts, and waits again":        {lines(queued, acts, queued), ago, 0, 1, 1},
		"it is another one's":             {lines(acts, strings.ReplaceAll(string(lines(done)), `"leaked"`, `"other"`)), ago, 0, 1, 1},
		"only a broken line tells":        {lines(broken(acts, `"step":0`, `"step":-1`)), ago, 0, 0, 1},
		"the future":                      {lines(runLine("r-1", "verified", noon.Add(900*time.Hour), noon.Add(900*time.Hour))), noon, 0, 0, 0},
		"the future in a broken line":     {lines(broken(runLine("r-1", "verified", noon, noon.Add(900*time.Hour)), `"step":0`, `"step":-1`)), noon, 0, 0, 1},
		"the year 1":                      {lines(runLine("r-1", "verified", time.Time{}.Add(time.Hour), time.Time{}.Add(time.Hour))), time.Time{}.Add(time.Hour), 0, 0, 0},
		"it acts and does not say since":  {lines(runLine("r-1", "running", ago, time.Time{})), ago, 0, 1, 0},
		"a run of a rule that is no more": {lines(strings.ReplaceAll(string(lines(queued)), `"leaked"`, `"gone"`)), time.Time{}, 1, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := heal.Recall(section(nil), noon, [2][]byte{nil, c.journal})
			if err != nil || !p.Last[poolKey].Equal(c.last) || len(p.Waiting) != c.waiting || len(p.Begun) != c.begun || p.Bad != c.bad {
				t.Errorf("last %v, waiting %v, begun %v, bad %d, %v; want %+v", p.Last[poolKey], p.Waiting, p.Begun, p.Bad, err, c)
			}
		})
	}
}

// A cooldown that a line of the future began ends, however often the exporter starts.
func TestFutureEnds(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		at := time.Now().Add(900 * time.Hour)
		try(t, os.WriteFile(filepath.Join(dir, "journal.jsonl"), lines(runLine("r-1", "verified", at, at)), 0o600))
		for _, want := range []string{"cooldown", "cooldown", "queued"} {
			b := start(t, dir, section(nil), nil)
			if got := b.take(firing("pod", want)); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			b.wait(2*time.Minute + 40*time.Second)
			b.stop()
		}
	})
}

// FuzzRecall: whatever the two files hold, they are read to their end within
// bounds, and the broken lines among them allow nothing that the others forbid.
func FuzzRecall(f *testing.F) {
	ago := noon.Add(-time.Minute)
	queued, acts, done := runLine("r-1", "queued", ago, time.Time{}), runLine("r-1", "running", ago, ago), runLine("r-1", "failed", ago, ago)
	head := `{"at":"2026-03-04T11:00:00Z","decision":"carried","guards":{"part":1,"parts":1,"open":1,"last":{"x/y":"2026-03-04T11:59:00Z"},` +
		`"applied":["2026-03-04T11:59:00Z"],"failures":{"x":["2026-03-04T11:59:00Z"]},"human":{"leaked":"f"},"known":{"00":"2026-03-04T12:05:00Z"}}}` + "\n"
	f.Add(lines(queued, acts), []byte(head+string(lines(queued))))
	f.Add(lines(queued, acts, done), append([]byte("x\n"), lines(runLine("r-2", "escalated", ago, ago))...))
	f.Add(lines(queued), []byte(strings.Replace(head, `"open":1`, `"open":0`, 1)+broken(acts, `"step":0`, `"step":-1`)))
	f.Add([]byte(nil), bytes.Repeat(lines(queued, done), 3))
	f.Fuzz(func(t *testing.T, older, current []byte) {
		all, err := heal.Recall(section(nil), noon, [2][]byte{older, current})
		if err != nil {
			t.Fatal(err)
		}
		good, err := heal.Recall(section(nil), noon, all.Good)
		if err != nil {
			t.Fatal(err)
		}
		if all.Runs > 4096 || len(all.Waiting) > 1000 || len(all.Known) > 10_000 || all.Spent > 2000 {
			t.Errorf("%d runs, %d wait, %d known, %d spent", all.Runs, len(all.Waiting), len(all.Known), all.Spent)
		}
		for key, at := range good.Last {
			if all.Last[key].Before(at) || all.Last[key].After(noon) {
				t.Errorf("%s was acted on at %v, and with broken lines at %v", key, at, all.Last[key])
			}
		}
		for known, until := range good.Known {
			if all.Known[known].Before(until) {
				t.Errorf("%s is known until %v, and with broken lines until %v", known, until, all.Known[known])
			}
		}
		for action, n := range good.Failures {
			if all.Failures[action] < n {
				t.Errorf("%s failed %d times, and with broken lines %d", action, n, all.Failures[action])
			}
		}
		for _, rule := range good.Human {
			if !slices.Contains(all.Human, rule) {
				t.Errorf("%s calls for nobody with broken lines", rule)
			}
		}
		for _, id := range all.Waiting {
			if !slices.Contains(good.Waiting, id) {
				t.Errorf("%s goes on only with broken lines", id)
			}
		}
		if all.Spent < good.Spent {
			t.Errorf("%d acts, and with broken lines %d", good.Spent, all.Spent)
		}
	})
}

// lines returns entries as the lines of a journal.
func lines(entries ...journal.Entry) []byte {
	var out []byte
	for _, e := range entries {
		line, err := json.Marshal(e)
		if err != nil {
			panic(err)
		}
		out = append(append(out, line...), '\n')
	}
	return out
}
