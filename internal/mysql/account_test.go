package mysql_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// The account is the one that the server reports, or that of the DSN.
func TestAccount(t *testing.T) {
	f := newFake(t, "127.0.0.1:0")
	for told, want := range map[string]string{
		"resp@127.0.0.1":  "'resp'@'127.0.0.1'",
		"a@b@%":           "'a@b'@'%'",
		`it's\@localhost`: `'it''s\\'@'localhost'`,
		"@localhost":      "''@'localhost'",
		"no account":      mysql.Placeholder,
		"a\nb@c":          mysql.Placeholder,
	} {
		f.set(func() { f.rows["SELECT CURRENT_USER"] = []string{told} })
		if got := open(t, f.address()).Account(t.Context()); got != want {
			t.Errorf("%q is %s, want %s", told, got, want)
		}
	}
	f.set(func() { f.refuse["SELECT VERSION"] = 1045 })
	if got := open(t, f.address()).Account(t.Context()); got != "'resp'@'HOST'" {
		t.Errorf("refused, it is %s", got)
	}
	s := mysql.Open(mysql.Options{DSN: config.Secret("tcp(" + nobody(t) + ")/")})
	defer s.Close()
	if got := s.Account(t.Context()); got != mysql.Placeholder {
		t.Errorf("without a user it is %s", got)
	}
}

// FuzzQuoteAccount: any account from a server stays inside its quotes.
func FuzzQuoteAccount(f *testing.F) {
	for _, s := range []string{"resp@localhost", "it's@%", `\@\'`, "", "@", "a\x9bb@c", strings.Repeat("x@", 1000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := mysql.QuoteAccount(s)
		rest := strings.NewReplacer(`\\`, "", "''", "").Replace("x" + got + "x") // what is escaped, and empty texts
		if n := strings.Count(rest, "'"); n%2 != 0 || n > 4 || len(got) > 2*len(s)+len(mysql.Placeholder) {
			t.Errorf("%q is %s", s, got)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q is %q", s, got)
		}
	})
}
