package diagnosis_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

var update = flag.Bool("update", false, "write the golden file instead of comparing with it")

// TestSentences compares what people read of every scene with a file.
func TestSentences(t *testing.T) {
	all := make(map[string]model.State)
	for _, scenes := range []map[string]scene{mysqlScenes(), redisScenes(), processScenes(), appScenes(), doubtfulScenes()} {
		for name, c := range scenes {
			all[name] = c.state
		}
	}
	var got bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(all)) {
		s := all[name]
		for _, c := range diagnosis.Chains(&s, noon) {
			fmt.Fprintf(&got, "%s\n  %s\n  %s\n", name, diagnosis.Sentence(&c, ""), diagnosis.Advice(&c))
			seen := map[string]bool{c.App: true}
			for i := range c.Victims {
				if app := c.Victims[i].App; !seen[app] {
					seen[app] = true
					fmt.Fprintf(&got, "  %s: %s\n", app, diagnosis.Sentence(&c, app))
				}
			}
		}
	}
	file := filepath.Join("testdata", "sentences.txt")
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(got.String(), "\n")
	for i, w := range strings.Split(string(want), "\n") {
		if i >= len(lines) || lines[i] != w {
			t.Fatalf("line %d of %s:\n got %q\nwant %q", i+1, file, lines[min(i, len(lines)-1)], w)
		}
	}
}
