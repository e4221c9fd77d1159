package mysql_test

import (
	"strings"
	"testing"
)

// MySQL, whose session values are not known to be those of the server, is read by SHOW
// GLOBAL STATUS only; so is a MariaDB that refuses to count its threads.
func TestStatusByGlobalScope(t *testing.T) {
	for version, refused := range map[string]uint16{"8.0.36": 0, "10.11.6-MariaDB": 1227} {
		f := newFake(t, "127.0.0.1:0")
		f.set(func() {
			f.version, f.rows["SHOW GLOBAL STATUS"] = version, []string{"Queries|34", "Threads_running|5"}
			if refused > 0 {
				f.refuse["SELECT 1 FROM information_schema.innodb_trx"] = refused
			}
		})
		status, err := open(t, f.address()).Status(t.Context())
		check(t, "status", status, map[string]float64{"Queries": 34, "Threads_running": 5}, err)
		f.set(func() {
			if strings.Contains(strings.Join(f.asked, "\n"), "SESSION STATUS") {
				t.Errorf("%s was asked %v", version, f.asked)
			}
		})
	}
}

// MySQL 8 has its deadlocks in a table of InnoDB, which is read at most every ten seconds.
// Without the counter, the right or the table they are absent; a MySQL whose status has
// them is not asked for the table.
func TestDeadlocksOfMySQL(t *testing.T) {
	for name, c := range map[string]struct {
		status  []string
		rows    []string
		refused uint16
		want    map[string]float64
		asked   int
	}{
		"counted":       {[]string{"Queries|34"}, []string{"lock_deadlocks|3"}, 0, map[string]float64{"Queries": 34, "Innodb_deadlocks": 3}, 1},
		"switched off":  {[]string{"Queries|34"}, nil, 0, map[string]float64{"Queries": 34}, 1},
		"refused":       {[]string{"Queries|34"}, nil, 1227, map[string]float64{"Queries": 34}, 1},
		"no such table": {[]string{"Queries|34"}, nil, 1109, map[string]float64{"Queries": 34}, 1},
		"in the status": {[]string{"Innodb_deadlocks|5"}, []string{"lock_deadlocks|3"}, 0, map[string]float64{"Innodb_deadlocks": 5}, 0},
		"no amounts":    {[]string{"Queries|-1", "Slow_queries|NaN", "Aborted_clients|Inf"}, []string{"lock_deadlocks|-1"}, 0, map[string]float64{}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, "127.0.0.1:0")
			f.set(func() {
				f.version, f.rows["SHOW GLOBAL STATUS"], f.rows["SELECT NAME, `COUNT`"] = "8.0.36", c.status, c.rows
				if c.refused > 0 {
					f.refuse["SELECT NAME, `COUNT`"] = c.refused
				}
			})
			s := open(t, f.address())
			for range 2 {
				status, err := s.Status(t.Context())
				check(t, "status", status, c.want, err)
			}
			f.set(func() {
				if n := strings.Count(strings.Join(f.asked, "\n"), "INNODB_METRICS"); n != c.asked {
					t.Errorf("the table was read %d times, want %d", n, c.asked)
				}
			})
		})
	}
}
