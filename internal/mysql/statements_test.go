package mysql_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/reason"
)

// Digests are by connection; background threads, missing values and nested statements are
// left out.
func TestLastStatements(t *testing.T) {
	f := newFake(t, "127.0.0.1:0")
	rows := map[string][]string{
		"SHOW GLOBAL VARIABLES": {"max_connections|151", "performance_schema|ON"},
		"SELECT THREAD_ID, PROCESSLIST_ID FROM performance_schema.threads WHERE PROCESSLIST_ID IN (7, 8, 9)": {"107|7", "108|8", "109|9"},
		"SELECT THREAD_ID, LEFT(DIGEST_TEXT, 400) FROM performance_schema.events_statements_current WHERE THREAD_ID IN (107, 108, 109)": {
			"107| UPDATE `orders` SET `paid` = ? ", "107|SELECT ?", "108|~", "999|SELECT ?",
		},
	}
	f.set(func() { f.rows = rows })
	s := open(t, f.address())
	got, err := s.LastStatements(t.Context(), []uint64{7, 8, 9})
	if want := map[uint64]string{7: "UPDATE `orders` SET `paid` = ?"}; err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if got, err := s.LastStatements(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("of nobody: %v, %v", got, err)
	}
	many := make([]uint64, 1000)
	if _, err := s.LastStatements(t.Context(), many); err != nil {
		t.Error(err)
	}
	f.set(func() {
		for _, q := range f.asked {
			if n := strings.Count(q, ", 0"); n > 99 {
				t.Errorf("%d connections were asked for", n)
			}
		}
		f.refuse = map[string]uint16{"SELECT THREAD_ID": 1142}
	})
	if _, err := s.LastStatements(t.Context(), []uint64{7}); kind(t, err) != reason.Permission {
		t.Errorf("refused: %v", err)
	}
}

// The exporter's own row is present exactly if the server keeps statements.
func TestKeepsStatements(t *testing.T) {
	f := newFake(t, "127.0.0.1:0")
	s := open(t, f.address())
	rows := func(now, threads, statements string) {
		f.set(func() {
			f.rows = map[string][]string{"SHOW GLOBAL VARIABLES": {"performance_schema|" + now}}
			for start, row := range map[string]string{"SELECT THREAD_ID, PROCESSLIST_ID": threads, "SELECT THREAD_ID, LEFT": statements} {
				if row != "" {
					f.rows[start] = []string{row}
				}
			}
		})
	}
	for _, c := range []struct {
		threads, statements string
		want                bool
	}{{"107|7", "107|~", true}, {"107|7", "107|SELECT ?", true}, {"107|7", "", false}, {"", "", false}} {
		rows("ON", c.threads, c.statements)
		if got, err := s.KeepsStatements(t.Context()); got != c.want || err != nil {
			t.Errorf("%+v: %v, %v", c, got, err)
		}
	}
	f.set(func() { f.refuse = map[string]uint16{"SELECT THREAD_ID": 1143} })
	if _, err := s.KeepsStatements(t.Context()); kind(t, err) != reason.Permission {
		t.Errorf("refused: %v", err)
	}
	rows("OFF", "", "")
	if _, err := open(t, f.address()).KeepsStatements(t.Context()); kind(t, err) != reason.Unsupported {
		t.Errorf("switched off: %v", err)
	}
}

// If no server keeps statements, they are not queried.
func TestLastStatementsSwitchedOff(t *testing.T) {
	f := newFake(t, "127.0.0.1:0")
	f.set(func() { f.rows = map[string][]string{"SHOW GLOBAL VARIABLES": {"performance_schema|OFF"}} })
	s := open(t, f.address())
	if _, err := s.LastStatements(t.Context(), []uint64{7}); kind(t, err) != reason.Unsupported {
		t.Errorf("got %v", err)
	}
	f.set(func() {
		for _, q := range f.asked {
			if strings.Contains(q, "performance_schema.") {
				t.Errorf("asked %q", q)
			}
		}
	})
}
