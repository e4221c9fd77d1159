package incidents

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// While one file cannot be written, only its lines are kept to be written later: those of the
// other one are there once.
func TestOneFileFails(t *testing.T) {
	for broken, sound := range map[string]string{"last-words.jsonl": "incidents.jsonl", "incidents.jsonl": "last-words.jsonl"} {
		t.Run(broken, func(t *testing.T) {
			dir := stateDir(t)
			r := New(Options{StateDir: dir})
			r.Observe(noon(), state(noon(), nil))
			if err := os.Mkdir(filepath.Join(dir, broken), 0o700); err != nil {
				t.Fatal(err)
			}
			r.mu.Lock()
			r.state.tell(&tracked{seen: noon(), incident: model.Incident{ID: "x", App: "shop", Start: noon(), End: noon().Add(time.Second)}})
			r.state.tellWords(&model.LastWords{App: "shop", PID: 7, Ended: noon()})
			r.mu.Unlock()
			second := 0
			write := func(seconds int) {
				for range seconds {
					r.write(noon().Add(time.Duration(second) * time.Second))
					second++
				}
			}
			lines := func(name string) int {
				b, err := os.ReadFile(filepath.Join(dir, name)) //nolint:gosec // of this test
				if err != nil {
					t.Fatal(err)
				}
				return bytes.Count(b, []byte("\n"))
			}
			write(150) // with two more tries
			if n := lines(sound); n != 1 || len(r.state.pending) != 1 || r.state.pending[0].words != (broken == "last-words.jsonl") {
				t.Errorf("%s has %d lines, %+v wait", sound, n, r.state.pending)
			}
			if err := os.Remove(filepath.Join(dir, broken)); err != nil {
				t.Fatal(err)
			}
			write(150)
			if n, m := lines(sound), lines(broken); n != 1 || m != 1 || len(r.state.pending) != 0 {
				t.Errorf("%d and %d lines, %+v wait", n, m, r.state.pending)
			}
		})
	}
}
