package mysql

import (
	"context"
	"database/sql"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/resp-exporter/resp-exporter/internal/config"
)

// maxAccount bounds an account, in bytes.
const maxAccount = 512

// Account returns the account that the server takes the exporter for, as its statements
// write it: 'resp'@'127.0.0.1' (CURRENT_USER()). If it cannot be asked, as when it refuses
// the login, it is the user of the DSN, else USER, and HOST; [Placeholder] if that cannot
// be quoted. It is for the remedies of `doctor`; never publish it.
func (s *Server) Account(ctx context.Context) string {
	account := "USER@HOST"
	if cfg, _ := config.ParseDSN(s.o.DSN); cfg != nil && cfg.User != "" {
		account = cfg.User + "@HOST"
	}
	_ = s.use(ctx, pingLimit, func(ctx context.Context, l *link) error {
		return l.each(ctx, "SELECT CURRENT_USER()", func(rows *sql.Rows) error { return rows.Scan(&account) })
	})
	return quoteAccount(account)
}

// quoteAccount returns user@host quoted as statements have it; the user may hold an @.
// [Placeholder]: it has no @, more than 512 bytes, or what cannot be printed.
func quoteAccount(account string) string {
	at := strings.LastIndexByte(account, '@')
	if at < 0 || len(account) > maxAccount || !utf8.ValidString(account) ||
		strings.ContainsFunc(account, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return Placeholder
	}
	quote := func(s string) string {
		return "'" + strings.NewReplacer(`\`, `\\`, "'", "''").Replace(s) + "'"
	}
	return quote(account[:at]) + "@" + quote(account[at+1:])
}
