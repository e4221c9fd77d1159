package servers_test

import (
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/e2e/trials/servers"
)

// TestTable checks that the table has a row for each server and version, and a footnote
// for each wrong cell.
func TestTable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	err := servers.Write(&b, []servers.Cell{
		{Server: "a", Version: "1", Cell: "found", OK: true},
		{Server: "a", Version: "2", Cell: "found", OK: true},
		{Server: "a", Version: "1", Cell: "idle", Want: "2 idle", Seen: "1 idle, 1 busy"},
		{Server: "a", Version: "1", Cell: "requests", OK: true, Want: "none reported"},
	})
	const want = `| server | version | found | name | workers | idle | sleep | spin | await | queue | requests | replaced |
|---|---|---|---|---|---|---|---|---|---|---|---|
| a | 1 | ok | – | – | wrong (1) | – | – | – | – | none reported | – |
| a | 2 | ok | – | – | – | – | – | – | – | – | – |

1. idle: want 2 idle; seen 1 idle, 1 busy.
`
	if err != nil || b.String() != want {
		t.Errorf("%v\n%s", err, b.String())
	}
}
