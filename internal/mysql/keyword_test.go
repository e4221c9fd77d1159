package mysql_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

func TestKeyword(t *testing.T) {
	t.Parallel()
	for statement, want := range map[string]string{
		"SELECT 1": "SELECT", "select SLEEP(9)": "SELECT", "(SELECT 1) UNION (SELECT 2)": "SELECT", "SELECT": "SELECT", "select*from t": "SELECT",
		"/* app:shop */ update t set a=1": "UPDATE", "/*a*/ -- b\n# c\n\tDELETE FROM t": "DELETE", "Truncate t": "TRUNCATE", "OPTIMIZE TABLE t": "OPTIMIZE",
		"load data infile 'x'": "LOAD", "call p()": "CALL", "analyze table t": "ANALYZE", "REPLACE INTO t VALUES (1)": "REPLACE",
		"": "", "SELECTED": "", "select1": "", "select_x": "", "BEGIN": "", "WITH x AS (SELECT 1) SELECT 1": "", "SHOW PROCESSLIST": "",
		"/*!40001 SQL_NO_CACHE */ SELECT 1": "", "/* never closed SELECT": "", "-- SELECT": "", "'SELECT'": "", "secret": "", "OPTIMIZER": "",
	} {
		if got := mysql.KeywordOf([]byte(statement)).String(); got != want {
			t.Errorf("%q: %q, want %q", statement, got, want)
		}
	}
}

// FuzzKeyword: only one of the fixed words of a statement is published.
func FuzzKeyword(f *testing.F) {
	f.Add([]byte("/* a */ SELECT 1"))
	f.Add([]byte("((-- x\n insert"))
	f.Fuzz(func(t *testing.T, statement []byte) {
		got := mysql.KeywordOf(statement).String()
		if got != "" && (!slices.Contains(mysql.Keywords(), got) || !strings.Contains(strings.ToUpper(string(statement)), got)) {
			t.Errorf("%q: %q", statement, got)
		}
	})
}

func BenchmarkKeyword(b *testing.B) {
	statement := []byte("/* app:shop */ SELECT * FROM orders")
	b.ReportAllocs()
	for b.Loop() {
		if mysql.KeywordOf(statement).String() != "SELECT" {
			b.Fatal("it is a SELECT")
		}
	}
}
