package collectors_test

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"maps"
	"testing"

	goldenfile "github.com/resp-exporter/resp-exporter/internal/golden"
)

// Each sentence about what a collector lacks, as it stands in the source, with its reason
// and what an administrator does about it. What servers lack has goldens beside the code
// that reads them.
func TestSentences(t *testing.T) {
	constants := make(map[string]string)
	goldenfile.Sources(t, ".", false, func(_ string, file *ast.File) { maps.Copy(constants, goldenfile.Constants(file)) })
	var out bytes.Buffer
	write := func(path, reason, detail, remedy string) {
		fmt.Fprintf(&out, "%s: %s: %s\n", path, reason, cmp.Or(constants[detail], detail))
		if remedy != "" {
			fmt.Fprintf(&out, "\t> %s\n", cmp.Or(constants[remedy], remedy))
		}
	}
	goldenfile.Sources(t, ".", false, func(path string, file *ast.File) {
		for _, v := range goldenfile.Values(file, "Unavailable", "Reason", "Detail", "Remedy") {
			if v[1] != "" {
				write(path, v[0], v[1], v[2])
			}
		}
		for _, args := range goldenfile.Calls(file, "lackOfApp") { // app, reason, detail, remedy
			write(path, args[1], args[2], args[3])
		}
	})
	goldenfile.Check(t, "sentences.golden", out.Bytes(), *update)
}
