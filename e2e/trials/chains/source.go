package chains

import (
	_ "embed"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
)

//go:embed app.py
var source string

// drawn matches the names that are drawn.
var drawn = regexp.MustCompile(`\b(do|hold|view)_[A-Z]+\b`)

// draw returns the source of the app with names and line numbers of its own.
func draw(r *rand.Rand) string {
	names := map[string]string{}
	words := []string{"refund", "checkout", "billing", "fetch", "render", "reserve", "zahlen", "señal", "order", "ship", "audit", "mail"}
	text := drawn.ReplaceAllStringFunc(source, func(name string) string {
		if names[name] == "" {
			names[name] = fmt.Sprintf("%s_%d", words[r.IntN(len(words))], len(names))
		}
		return names[name]
	})
	var out strings.Builder
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == "# GAP" {
			out.WriteString(strings.Repeat("\n", r.IntN(40)))
			continue
		}
		out.WriteString(line)
	}
	return out.String()
}
