package journaltest

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// RunLine returns a line of a run of the rule leaked, which acted at a time unless that is zero.
func RunLine(id string, state journal.Decision, at, applied time.Time) journal.Entry {
	r := &journal.Run{
		ID: id, Rule: "leaked", State: state, Created: at.Add(-time.Second), Updated: at, Action: config.ActionKillLeaked, Target: "app:shop/pool:main",
		Alert: journal.Subject{Name: "RespPoolLeak", Fingerprint: "f-" + id, StartsAt: at, Labels: map[string]string{"app": "shop", "pool": "main"}}, Applied: applied,
	}
	return journal.Entry{At: at, Decision: state, Rule: r.Rule, Action: r.Action, Target: r.Target, Run: r}
}

// Broken returns the line of an entry with the first from in its text replaced by to. It
// panics if there is none.
func Broken(e journal.Entry, from, to string) string {
	text := string(Lines(e))
	if changed := strings.Replace(text, from, to, 1); changed != text {
		return changed
	}
	panic(from + " is not in " + text)
}

// many returns n labels as the inside of a JSON object, each with a comma behind it.
func many(n int) string {
	var labels strings.Builder
	for i := range n {
		fmt.Fprintf(&labels, `"l%d":"x",`, i)
	}
	return labels.String()
}

// Noon returns the time of the lines.
func Noon() time.Time { return time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) }

// Lines returns entries as the lines of a journal.
func Lines(entries ...journal.Entry) []byte {
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

// BrokenLines returns lines of a journal that are no entries, by what is wrong with them.
func BrokenLines() map[string]string {
	ago := Noon().Add(-time.Minute)
	queued := RunLine("r-1", "queued", ago, time.Time{})
	deep := strings.Repeat(`{"x":`, 5000) + "1" + strings.Repeat("}", 5000)
	return map[string]string{
		"a step below 0":      Broken(queued, `"step":0`, `"step":-1`),
		"a step of no rule":   Broken(queued, `"step":0`, `"step":4611686018427387904`),
		"a step that is text": Broken(queued, `"step":0`, `"step":"0"`),
		"a step with a point": Broken(queued, `"step":0`, `"step":0.5`),
		"done below 0":        Broken(queued, `"step":0`, `"step":0,"done":-1`),
		"approved below 0":    Broken(queued, `"step":0`, `"step":0,"approved":{"total":-9223372036854775808}`),
		"too many approved":   Broken(queued, `"step":0`, `"step":0,"approved":{"victims":[`+strings.Repeat(`"x",`, 200)+`"x"]}`),
		"too many steps":      Broken(queued, `"step":0`, `"step":0,"before":[`+strings.Repeat(`{"result":"failed"},`, 100)+`{"result":"failed"}]`),
		"a total below 0":     Broken(queued, `"step":0`, `"step":0,"plan":{"total":-1}`),
		"too many victims":    Broken(queued, `"step":0`, `"step":0,"plan":{"victims":[`+strings.Repeat(`{},`, 200)+`{}]}`),
		"an unknown state":    Broken(queued, `"state":"queued"`, `"state":"doing"`),
		"two states":          Broken(queued, `"state":"queued"`, `"state":"running"`),
		"an unknown decision": Broken(queued, `"decision":"queued"`, `"decision":"?"`),
		"no number":           Broken(queued, `"id":"r-1"`, `"id":""`),
		"a number of another": Broken(queued, `"id":"r-1"`, `"id":"../../etc/passwd"`),
		"a number too long":   Broken(queued, `"id":"r-1"`, `"id":"`+strings.Repeat("r", 65)+`"`),
		"a rule too long":     Broken(queued, `"rule":"leaked","alert"`, `"rule":"`+strings.Repeat("r", 1000)+`","alert"`),
		"a target of control": Broken(queued, `"target":"app:shop/pool:main","run"`, `"target":"app:\u0000","run"`),
		"no time":             Broken(queued, `"at":"2026`, `"at":"twenty`),
		"labels without end":  Broken(queued, `"labels":{`, `"labels":{`+many(100)),
		"an empty object":     "{}\n", "a list": "[]\n", "null": "null\n", "a number alone": "1\n", "text": "hello\n", "zeros": strings.Repeat("\x00", 4096) + "\n",
		"no JSON": "{\"at\"\n", "no UTF-8": "\xff\xfe\n", "nested": deep + "\n", "nested in evidence": Broken(queued, `"step":0`, `"step":0,"evidence":`+deep),
		"longer than any":   strings.Repeat("x", 300<<10) + "\n",
		"guards of a run":   Broken(queued, `"step":0`, `"step":0`+`},"guards":{"part":1,"parts":1`),
		"a part of none":    `{"at":"2026-01-02T03:04:05Z","decision":"carried","guards":{"part":0,"parts":0}}` + "\n",
		"a part of billion": `{"at":"2026-01-02T03:04:05Z","decision":"carried","guards":{"part":1,"parts":999999999999}}` + "\n",
	}
}
