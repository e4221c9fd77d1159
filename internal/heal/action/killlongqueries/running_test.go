package killlongqueries

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// A planned statement still runs while its connection has the number of the statement,
// and has run for about as long as planned.
func TestStillRunning(t *testing.T) {
	t.Parallel()
	victim := func(id, server string) action.Victim {
		return action.Victim{ID: id, Info: map[string]string{"server": server, "query": "5", "ran": "1m0s"}}
	}
	runs := mysql.Connection{ID: 7, Command: "Query", Query: 5, Time: time.Minute}
	for name, c := range map[string]struct {
		change       func(*mysql.Connection)
		left, ending int
	}{
		"runs":                       {func(*mysql.Connection) {}, 1, 0},
		"a second less, rounded":     {func(c *mysql.Connection) { c.Time = 59 * time.Second }, 1, 0},
		"another run of it":          {func(c *mysql.Connection) { c.Time = 59*time.Second - 1 }, 0, 0},
		"the next statement":         {func(c *mysql.Connection) { c.Query = 6 }, 0, 0},
		"idle":                       {func(c *mysql.Connection) { c.Command = "Sleep" }, 0, 0},
		"ended":                      {func(c *mysql.Connection) { c.Command = "Killed" }, 0, 1},
		"rolls back":                 {func(c *mysql.Connection) { c.TrxState = "ROLLING BACK" }, 0, 1},
		"idle, and ended in between": {func(c *mysql.Connection) { c.Command, c.TrxState = "Sleep", "ROLLING BACK" }, 0, 0},
		"another connection":         {func(c *mysql.Connection) { c.ID = 8 }, 0, 0},
	} {
		now := runs
		c.change(&now)
		other := mysql.Connection{ID: 9, Command: "Query", Query: 5, Time: time.Hour} // in no plan
		left, ending := stillRunning([]mysql.Connection{other, now}, []action.Victim{victim("7", "s")}, "s")
		if left != c.left || ending != c.ending {
			t.Errorf("%s: %d left, %d ending; want %d, %d", name, left, ending, c.left, c.ending)
		}
	}
	list := []mysql.Connection{runs, {ID: 8, Command: "Killed", Query: 5, Time: time.Hour}, {ID: 9, Command: "Query", Query: 5, Time: time.Hour}}
	all := []action.Victim{victim("7", "s"), victim("8", "s"), victim("9", "s"), victim("10", "s")}
	if left, ending := stillRunning(list, all, "s"); left != 2 || ending != 1 {
		t.Errorf("of four: %d left, %d ending", left, ending)
	}
	if left, ending := stillRunning(list, []action.Victim{victim("7", "s")}, "t"); left != 0 || ending != 0 {
		t.Errorf("of another server: %d left, %d ending", left, ending)
	}
}
