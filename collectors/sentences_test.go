package collectors_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"testing"

	goldenfile "github.com/resp-exporter/resp-exporter/internal/golden"
)

// Each sentence about what a collector lacks, as it stands in the source, with its reason
// and what an administrator does about it. What servers lack has goldens beside the code
// that reads them.
func TestSentences(t *testing.T) {
	constants := make(goldenfile.Constants)
	goldenfile.Sources(t, ".", false, func(_ string, file *ast.File) { constants.Add(file) })
	var out bytes.Buffer
	write := func(path, reason, detail, remedy string) {
		fmt.Fprintf(&out, "%s: %s: %s\n", path, reason, detail)
		if remedy != "" {
			fmt.Fprintf(&out, "\t> %s\n", remedy)
		}
	}
	goldenfile.Sources(t, ".", false, func(path string, file *ast.File) {
		for _, v := range constants.Values(file, "Unavailable", "Reason", "Detail", "Remedy") {
			if v[1] != "" {
				write(path, v[0], v[1], v[2])
			}
		}
		for _, args := range constants.Calls(file, "lackOfApp") { // app, reason, detail, remedy
			write(path, args[1], args[2], args[3])
		}
	})
	goldenfile.Check(t, "sentences.golden", out.Bytes(), *update)
}
