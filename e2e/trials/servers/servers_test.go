package servers_test

import (
	"os/exec"
	"slices"
	"testing"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
	"github.com/resp-exporter/resp-exporter/e2e/trials/servers"
)

// TestServersOfDebian checks that Debian's servers that no other test starts are found,
// named and judged correctly in every comparison of the trial.
func TestServersOfDebian(t *testing.T) {
	t.Parallel()
	for program, pkg := range map[string]string{
		"hypercorn": "python3-hypercorn", "uwsgi": "uwsgi-core uwsgi-plugin-python3", "/usr/sbin/apache2": "apache2-bin libapache2-mod-wsgi-py3", "ss": "iproute2",
	} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is missing: apt-get install %s", program, pkg)
		}
	}
	exporter, err := run.Exporter(t.Context(), "../../..", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	list := slices.DeleteFunc(servers.List(t.Context(), servers.Place{}), func(s servers.Server) bool {
		return !slices.Contains([]string{"hypercorn -w 2", "uWSGI emperor, two vassals", "mod_wsgi daemons"}, s.Name)
	})
	cells := make(map[string]int)
	err = servers.Run(t.Context(), servers.Options{Exporter: exporter, Parallel: 3, Seed: 1}, list, func(c servers.Cell) error {
		cells[c.Server]++
		if !c.OK {
			t.Errorf("%s %s: %s: want %s, seen %s", c.Server, c.Version, c.Cell, c.Want, c.Seen)
		}
		return nil
	})
	if err != nil || len(list) != 3 || len(cells) != 3 {
		t.Fatalf("%v: %d servers, comparisons %v", err, len(list), cells)
	}
	for name, n := range cells {
		if n < len(servers.Columns())-1 {
			t.Errorf("%s: %d comparisons", name, n)
		}
	}
}
