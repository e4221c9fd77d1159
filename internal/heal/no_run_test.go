package heal_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
)

// The log says at level info why an alert starts no run: once an hour for a decision about a
// rule, and not for what Alertmanager sends all the time.
func TestWhyNoRun(t *testing.T) {
	for name, c := range map[string]struct {
		section func(*config.Healing)
		alert   action.Alert
		want    string // in the line
		hours   int    // lines in five hours
	}{
		"warmup":    {func(h *config.Healing) { h.Warmup = 24 * time.Hour }, firing(), "decision=warmup", 5},
		"not mine":  {func(h *config.Healing) { h.Identity = config.Identity{Label: "instance", Value: "web-1:9868"} }, firing("instance", "localhost:9868"), `its label instance is \"localhost:9868\", and healing.identity is \"web-1:9868\"`, 5},
		"no label":  {func(h *config.Healing) { h.Identity = config.Identity{Label: "instance", Value: "web-1:9868"} }, firing(), `its label instance is \"\"`, 5},
		"unmatched": {nil, firing("alertname", "RespWatchdog"), "decision=unmatched", 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				b := start(t, dir, section(c.section), func(b *harness) { b.logger = slog.New(slog.NewTextHandler(&log, nil)) })
				defer b.stop()
				for range 5 * 60 / 5 {
					b.take(c.alert)
					b.wait(5 * time.Minute)
				}
				if n := strings.Count(log.String(), c.want); n != c.hours {
					t.Errorf("%d lines, want %d:\n%s", n, c.hours, log.String())
				}
			})
		})
	}
}

// A list without entries is [] in JSON, not null, so that a reader can go through it.
func TestEmptyLists(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, dir, section(nil), nil)
		defer b.stop()
		text, err := json.Marshal(b.Snapshot())
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"needs_human", "firing", "runs", "breakers_open", "holds"} {
			if !bytes.Contains(text, []byte(`"`+key+`":[]`)) {
				t.Errorf("%s is not an empty list: %s", key, text)
			}
		}
	})
}
