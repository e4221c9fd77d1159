package text_test

import (
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/text"
)

func TestPlural(t *testing.T) {
	for n, want := range map[float64]string{0: "0 runs wait", 1: "1 run waits", 2: "2 runs wait", 1e6: "1000000 runs wait", 1.2: "1 runs wait"} {
		if got := text.Plural(n, "run waits", "runs wait"); got != want {
			t.Errorf("%v: %q", n, got)
		}
	}
}
