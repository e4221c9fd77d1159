package statement_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/resp-exporter/resp-exporter/internal/mysql/statement"
)

func TestSummary(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"SELECT 1":                          "SELECT",
		"select * from orders where id = 7": "SELECT FROM shop.orders",
		"SELECT o.id, 'FROM x' FROM `orders` AS o, b.items i":                                        "SELECT FROM shop.orders, b.items",
		"SELECT a FROM t JOIN u ON t.i=u.i LEFT JOIN v USING (i) WHERE x IN (SELECT y FROM w)":       "SELECT FROM shop.t, shop.u, shop.v, shop.w",
		"SELECT EXTRACT(YEAR FROM d), TRIM(LEADING 'x' FROM name) FROM t":                            "SELECT FROM shop.t",
		"SELECT * FROM (SELECT id FROM inner_t) AS x, (a, b)":                                        "SELECT FROM shop.inner_t, shop.a, shop.b",
		"(SELECT a FROM t) UNION (SELECT b FROM u)":                                                  "SELECT FROM shop.t",
		"SELECT a, b FROM t ORDER BY c, d FOR UPDATE":                                                "SELECT FROM shop.t",
		"SELECT a INTO OUTFILE '/tmp/x' FROM t":                                                      "SELECT FROM shop.t",
		"SELECT * FROM json_table(@x, '$') j":                                                        "SELECT",
		"/* app=shop */ UPDATE LOW_PRIORITY orders SET paid='yes', n=7 WHERE id=0x41":                "UPDATE shop.orders",
		"update shop.orders o join items i on o.id=i.o set i.n=1":                                    "UPDATE shop.orders, shop.items",
		"INSERT INTO orders (a, b) VALUES ('x', 'y'), ('FROM z', 1) ON DUPLICATE KEY UPDATE a = 'q'": "INSERT INTO shop.orders",
		"insert ignore orders select * from old":                                                     "INSERT INTO shop.orders, shop.old",
		"REPLACE INTO `we``ird` VALUES (1)":                                                          "REPLACE",
		"DELETE FROM orders WHERE id=1":                                                              "DELETE FROM shop.orders", "DELETE t FROM t JOIN u ON 1": "DELETE FROM shop.t, shop.u",
		"ALTER TABLE shop.orders ADD COLUMN x INT DEFAULT 7": "ALTER TABLE shop.orders", "alter online table orders engine=innodb": "ALTER TABLE shop.orders",
		"ALTER USER root IDENTIFIED BY 'hunter2'": "ALTER", "CREATE USER x IDENTIFIED BY 'hunter2'": "CREATE", "SET PASSWORD = 'hunter2'": "SET",
		"CREATE TABLE IF NOT EXISTS t (a int)": "CREATE TABLE shop.t", "create unique index i on t (a)": "CREATE INDEX ON shop.t",
		"DROP TABLE IF EXISTS a, b.c": "DROP TABLE shop.a, b.c", "truncate orders": "TRUNCATE TABLE shop.orders", "TRUNCATE TABLE orders": "TRUNCATE TABLE shop.orders",
		"LOCK TABLES orders WRITE, items AS i READ LOCAL, x READ": "LOCK TABLES shop.orders, shop.items, shop.x",
		"FLUSH TABLES WITH READ LOCK":                             "FLUSH TABLES WITH READ LOCK", "flush tables": "FLUSH TABLES",
		"FLUSH TABLES orders WITH READ LOCK": "FLUSH TABLES shop.orders WITH READ LOCK",
		"COMMIT":                             "COMMIT", "CALL pay(7, 'x')": "CALL shop.pay", "LOAD DATA INFILE '/etc/x' INTO TABLE t": "LOAD DATA",
		"WITH x AS (SELECT 1) SELECT * FROM x": "SELECT", "GRANT ALL ON *.* TO x IDENTIFIED BY 'y'": "", "": "", "'SELECT'": "", "SELECTED": "",
		"SELECT * FROM 2024": "SELECT", "SELECT * FROM @x": "SELECT", "SELECT * FROM x'41'": "SELECT", "SELECT * FROM _utf8'a'": "SELECT",
		`SELECT 'a\' FROM secret WHERE '' = '`: "SELECT", `SELECT "a\" FROM secret WHERE "" = "`: "SELECT", "SELECT /*! 'x */ FROM secret": "SELECT",
		"SELECT $$ FROM secret $$": "SELECT", "SELECT q'[ ' FROM secret ]'": "SELECT", "SELECT 1 -- FROM secret": "SELECT", "SELECT 1 # FROM secret": "SELECT",
		"SELECT * FROM `a\x1bb`": "SELECT", "SELECT * FROM `a'b`": "SELECT", "SELECT * FROM a\xff": "SELECT", "SELECT --1 FROM t": "SELECT FROM shop.t",
		"SELECT '" + strings.Repeat("x", 80) + "' FROM orders": "SELECT", // 100 characters: the name may be longer
	} {
		if got := statement.Of([]byte(text), "shop").String(); got != want {
			t.Errorf("%q:\n%q, want\n%q", text, got, want)
		}
	}
	if got := statement.Of([]byte("DELETE FROM t"), "").Only(); got != "t" {
		t.Errorf("without a database: %q", got)
	}
	long := statement.Of([]byte("DROP TABLE "+strings.Repeat("ä", 40)+", "+strings.Repeat("ö", 40)), strings.Repeat("ü", 60)).String()
	if len(long) > statement.MaxText || !utf8.ValidString(long) || !strings.HasSuffix(long, "...") {
		t.Errorf("%d bytes: %q", len(long), long)
	}
}

// outside returns which bytes of a statement are in no string and no comment, for a
// server with one setting of NO_BACKSLASH_ESCAPES. What a comment that is executed
// has in it counts as outside, as some server may run it.
func outside(s []byte, escapes bool) []bool {
	out := make([]bool, len(s))
	for i := 0; i < len(s); {
		end := i + 1
		switch c := s[i]; {
		case c == '\'' || c == '"' || c == '`':
			for end < len(s) && s[end] != c {
				if escapes && s[end] == '\\' && c != '`' {
					end++
				}
				end++
			}
			if end = min(end+1, len(s)); c == '`' {
				for j := i; j < end; j++ {
					out[j] = true
				}
			}
		case bytes.HasPrefix(s[i:], []byte("/*")):
			end = len(s)
			if n := bytes.Index(s[i+2:], []byte("*/")); n >= 0 {
				end = i + 2 + n + 2
			}
		case c == '#', bytes.HasPrefix(s[i:], []byte("--")) && (i+2 == len(s) || s[i+2] <= ' '):
			end = len(s)
			if n := bytes.IndexByte(s[i:], '\n'); n >= 0 {
				end = i + n
			}
		default:
			out[i] = true
		}
		i = end
	}
	return out
}

// appears reports whether a name is in the statement outside of values.
func appears(s []byte, name string, free []bool) bool {
	for i := 0; i+len(name) <= len(s); i++ {
		if string(s[i:i+len(name)]) == name && !slices.Contains(free[i:i+len(name)], false) {
			return true
		}
	}
	return false
}

// For any statement, only names outside of strings, comments and numbers are shown, and
// for the rest only words of the list.
func FuzzSummary(f *testing.F) {
	for _, s := range []string{
		"SELECT * FROM a, `b`.c WHERE d='x\\' FROM y'", "UPDATE t SET a=\"b\"\"c\"", "INSERT INTO t VALUES (1.5, 0x41, x'41', N'a')", "ALTER TABLE a.b -- c\nADD d",
		"LOCK TABLES a READ, b AS c WRITE", "/*! SELECT 'FROM */ FROM secret'", "select 1e5from t", "DELETE FROM t USING u", "select 'a' 'b' from `x",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got := statement.Of(text, "")
		if s := got.String(); len(s) > statement.MaxText || !utf8.ValidString(s) || strings.ContainsAny(s, "'\"\\\n\x00") {
			t.Errorf("%q: %q", text, s)
		}
		for _, free := range [][]bool{outside(text, true), outside(text, false)} {
			for _, table := range got.Tables {
				for part := range strings.SplitSeq(table, ".") {
					if !appears(text, part, free) {
						t.Errorf("%q: %q is no name in it", text, part)
					}
				}
				if first := table[0]; first >= '0' && first <= '9' && !bytes.Contains(text, []byte("`")) {
					t.Errorf("%q: the number %q", text, table)
				}
			}
		}
	})
}

// No value that is written as a value survives, wherever it stands.
func FuzzSummaryOfValues(f *testing.F) {
	for _, s := range []string{"hunter2", "", "it's", `a\`, `\' FROM x`, "*/ FROM secret", "`", "\n", `" JOIN "`, "\xff", "FROM secret", "é"} {
		f.Add(s, uint32(7))
	}
	forms := []string{
		"SELECT * FROM t WHERE a = %s AND b = 'x'", "SELECT %s FROM t", "INSERT INTO t VALUES (%s, %[1]s)", "UPDATE t SET a=%s, b=%[1]s", "DELETE FROM t WHERE a=%s",
		"CALL t(%s)", "SELECT * FROM t LIMIT %s", "SELECT a FROM t UNION SELECT %s FROM t", "SELECT * FROM t WHERE a IN (%s, %[1]s) /* %[1]s */",
	}
	f.Fuzz(func(t *testing.T, value string, number uint32) {
		escaped := strings.NewReplacer(`\`, `\\`, `'`, `\'`, `"`, `\"`, "\x00", `\0`).Replace(value)
		literals := []string{
			"'" + escaped + "'", `"` + escaped + `"`, "'" + strings.ReplaceAll(strings.ReplaceAll(value, "'", "''"), `\`, "") + "'",
			"_utf8mb4'" + escaped + "'", "N'" + escaped + "'", fmt.Sprintf("x'%x'", value), fmt.Sprintf("0x%x", value), fmt.Sprint(number), fmt.Sprintf("-%d.5e3", number), fmt.Sprintf("@`%d`", number),
		}
		for _, form := range forms {
			for _, literal := range literals {
				text := fmt.Sprintf(form, literal)
				if strings.Contains(form, "/*") && strings.Contains(value, "*/") {
					continue // then what follows is no comment
				}
				got := statement.Of([]byte(text), "")
				if len(got.Tables) > 1 || len(got.Tables) == 1 && got.Tables[0] != "t" {
					t.Errorf("%q: %v", text, got)
				}
			}
		}
	})
}

func BenchmarkSummary(b *testing.B) {
	text := []byte("/* app:shop */ SELECT o.id, o.total FROM orders o JOIN items i ON i.order_id = o.id WHERE o.id = 12345")
	b.ReportAllocs()
	for b.Loop() {
		if len(statement.Of(text, "shop").Tables) != 2 {
			b.Fatal("it names two tables")
		}
	}
}
