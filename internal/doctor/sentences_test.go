package doctor_test

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/golden"
)

var updateGolden = flag.Bool("update", false, "write the golden files instead of comparing with them")

// Each sentence of a finding, and each fact with its section, as they stand in the source.
func TestGoldenSentences(t *testing.T) {
	t.Parallel()
	constants := make(golden.Constants)
	golden.Sources(t, ".", false, func(_ string, file *ast.File) { constants.Add(file) })
	var findings, facts bytes.Buffer
	golden.Sources(t, ".", false, func(_ string, file *ast.File) {
		for _, v := range constants.Values(file, "Finding", "Detail") {
			if len(strings.Fields(v[0])) > 1 { // else the sentence of a lack
				fmt.Fprintf(&findings, "%s\n", v[0])
			}
		}
		for _, args := range constants.Calls(file, "lacksRight") { // of, reason, detail, remedy
			if strings.Contains(args[2], " ") {
				fmt.Fprintf(&findings, "%s\n", args[2])
			}
		}
		for _, args := range constants.Calls(file, "fact") { // section, format
			fmt.Fprintf(&facts, "%s: %s\n", args[0], args[1])
		}
	})
	golden.Check(t, "sentences.golden", append(findings.Bytes(), facts.Bytes()...), *updateGolden)
}
