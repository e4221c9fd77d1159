package killlongqueries_test

import (
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/heal/action/killlongqueries"
)

func TestPlainSelect(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"SELECT 1", "select*from t", "\n\t (( SELECT 1) UNION (SELECT 2))", "SELECT 1;", "SELECT 1 ; -- end",
		"/* trace='a,b' */ SELECT 1", "-- a\nSELECT 1", "# a\nSELECT 1", "--\nSELECT 1", "SELECT /*+ MAX_EXECUTION_TIME(9) */ 1",
		"SELECT ' INTO ', \" FOR UPDATE\", ` INTO `", "SELECT 'it''s INTO'", `SELECT 'a\nb'`, "SELECT 1 --1", "SELECT `update` FROM t FOR SYSTEM_TIME ALL",
		"SELECT a FROM t USE INDEX FOR JOIN (i)", "SELECT SLEEP(60.0e0), 1e5, .5E-05, 1e+3 FROM t", "SELECT 0x1F, 12, 'ünïcode' AS ünï", "SELECT 'a' /* INTO */ FROM t /* FOR UPDATE */",
	} {
		if !killlongqueries.PlainSelect(s) {
			t.Errorf("%q is not plain", s)
		}
	}
	for _, s := range []string{
		"", " ", "(", "SELECTED", "SELECT1", "DELETE FROM t", "UPDATE t SET a=1", "INSERT INTO t SELECT 1", "WITH x AS (SELECT 1) DELETE FROM t",
		"CALL p()", "ALTER TABLE t ADD a INT", "OPTIMIZE TABLE t", "EXPLAIN SELECT 1", "SET @a = (SELECT 1)", "DO SLEEP(1)", "(DELETE FROM t)",
		"SELECT 1 FOR UPDATE", "SELECT 1 for\n update", "SELECT 1 FOR/**/UPDATE", "SELECT 1 FOR SHARE", "SELECT 1 LOCK IN SHARE MODE", "SELECT 1 FOR UPDATE SKIP LOCKED",
		"SELECT 1 INTO OUTFILE '/tmp/x'", "SELECT 1 INTO @a", "SELECT 'a'INTO @a", "SELECT 1.5INTO @a", "SELECT 1.5FOR UPDATE",
		"SELECT 1.5e0INTO @a", "SELECT 1e5FOR UPDATE", "SELECT 1e-05INTO @a", "SELECT 1eINTO @a", "SELECT 1e INTO @a", "SELECT 1e-INTO @a",
		"SELECT 1 /*! INTO OUTFILE '/tmp/x' */", "/*!40001 SELECT */ 1", "SELECT /*M! 1 */ 1", "SELECT /*m!100100 1 */ 1", "/*!999999 */ SELECT 1",
		"SELECT 1; DELETE FROM t", "SELECT 1;SELECT 2", "SELECT 'open", "SELECT \"open", "SELECT `open", "SELECT 1 /* open", "SELECT 1 /*/ open",
		`SELECT 'it\'s'`, // or a string, a word and a string that has no end
		`SELECT '\' INTO OUTFILE '/tmp/x' -- '`, `SELECT "\" FOR UPDATE -- "`, "SELECT NAME_CONST('a', 1)", "-- SELECT 1", "--SELECT 1",
	} {
		if killlongqueries.PlainSelect(s) {
			t.Errorf("%q is plain", s)
		}
	}
}

// FuzzPlainSelect: a plain SELECT is also plain after a comment, and is not plain with a
// lock or a file at its end.
func FuzzPlainSelect(f *testing.F) {
	for _, s := range []string{"SELECT 1", "(SELECT 'a' /* b */)", "SELECT '\\' FROM t", "SELECT 1.5FOR UPDATE", "SELECT 1 -- a", "/*!1*/SELECT 1;", "SELECT \"a\\\"\" #", "/*/*!*/SELECT"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !killlongqueries.PlainSelect(s) {
			return
		}
		// Inside of a comment, /*! begins nothing.
		first := strings.Index(s, "/*")
		if !strings.Contains(strings.ToUpper(s), "SELECT") || first >= 0 && strings.HasPrefix(s[first:], "/*!") && !strings.ContainsAny(s, "'\"`#-") {
			t.Errorf("%q is plain", s)
		}
		if !killlongqueries.PlainSelect("/* a */ " + s) {
			t.Errorf("%q is not plain behind a comment", s)
		}
		for _, end := range []string{"\nFOR UPDATE", "\nINTO OUTFILE 'x'", "\n;DELETE FROM t", "\nLOCK IN SHARE MODE", "\n/*! x */"} {
			if killlongqueries.PlainSelect(s + end) {
				t.Errorf("%q is plain", s+end)
			}
		}
	})
}

func BenchmarkPlainSelect(b *testing.B) {
	text := "SELECT a, b FROM t WHERE c IN (" + strings.Repeat("'it''s a value', ", 1000) + "'last') ORDER BY a"
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if !killlongqueries.PlainSelect(text) {
			b.Fatal("not plain")
		}
	}
}
