package statement_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/mysql/statement"
)

func TestKeyword(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"SELECT 1": "SELECT", "select SLEEP(9)": "SELECT", "(SELECT 1) UNION (SELECT 2)": "SELECT", "SELECT": "SELECT", "select*from t": "SELECT",
		"/* app:shop */ update t set a=1": "UPDATE", "/*a*/ -- b\n# c\n\tDELETE FROM t": "DELETE", "Truncate t": "TRUNCATE", "OPTIMIZE TABLE t": "OPTIMIZE",
		"load data infile 'x'": "LOAD", "call p()": "CALL", "analyze table t": "ANALYZE", "REPLACE INTO t VALUES (1)": "REPLACE",
		"": "", "SELECTED": "", "select1": "", "select_x": "", "BEGIN": "", "WITH x AS (SELECT 1) SELECT 1": "", "SHOW PROCESSLIST": "",
		"/*!40001 SQL_NO_CACHE */ SELECT 1": "", "/* never closed SELECT": "", "-- SELECT": "", "'SELECT'": "", "secret": "", "OPTIMIZER": "",
	} {
		if got := statement.KeywordOf([]byte(text)).String(); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// FuzzKeyword: only one of the fixed words of a statement is published.
func FuzzKeyword(f *testing.F) {
	f.Add([]byte("/* a */ SELECT 1"))
	f.Add([]byte("((-- x\n insert"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got := statement.KeywordOf(text).String()
		if got != "" && (!slices.Contains(statement.Keywords(), got) || !strings.Contains(strings.ToUpper(string(text)), got)) {
			t.Errorf("%q: %q", text, got)
		}
	})
}

func BenchmarkKeyword(b *testing.B) {
	text := []byte("/* app:shop */ SELECT * FROM orders")
	b.ReportAllocs()
	for b.Loop() {
		if statement.KeywordOf(text).String() != "SELECT" {
			b.Fatal("it is a SELECT")
		}
	}
}
