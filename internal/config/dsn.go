package config

import (
	"errors"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/resp-exporter/resp-exporter/internal/config/address"
	"github.com/resp-exporter/resp-exporter/internal/config/schema"
)

// errDSN repeats nothing of the DSN, which may hold a password.
var errDSN = errors.New("expected " + schema.Wanted[MySQL]("dsn"))

// ErrDSNParameter is the error of a DSN of the right form with a parameter that
// the MySQL driver cannot read. The exporter runs with it, without that server.
var ErrDSNParameter = errors.New("the MySQL driver cannot read a parameter of the DSN")

// ParseDSN reads a DSN with the parser of the MySQL driver. It accepts TCP with
// "host[:port]" and UNIX sockets with an absolute path, and parameters of the
// form key=value. A missing port becomes 3306. The error says what is expected;
// with [ErrDSNParameter] the result is what the DSN says without its parameters.
func ParseDSN(dsn Secret) (*mysql.Config, error) {
	base, ok := withoutParameters(string(dsn))
	if !ok {
		return nil, errDSN
	}
	cfg, err := mysql.ParseDSN(base)
	if err != nil { // its text repeats parts of the DSN
		return nil, errDSN
	}
	switch cfg.Net {
	case "tcp":
		// The driver puts brackets around "[::1]", too, before it adds a port.
		cfg.Addr = strings.NewReplacer("[[", "[", "]]", "]").Replace(cfg.Addr)
		ok = address.IsHostPort(cfg.Addr)
	case "unix":
		ok = address.IsSocketPath(cfg.Addr)
	default:
		ok = false
	}
	if !ok {
		return nil, errDSN
	}
	whole, err := mysql.ParseDSN(string(dsn))
	if err != nil {
		return cfg, ErrDSNParameter
	}
	whole.Addr = cfg.Addr
	return whole, nil
}

// withoutParameters returns a DSN up to its question mark, which is left out; "" and false for
// one without a slash, with a control character, or with what the driver would ignore or
// replace by a default: empty brackets, "unix" without a path, a parameter without a name or "=".
func withoutParameters(dsn string) (base string, ok bool) {
	slash := strings.LastIndexByte(dsn, '/')
	if slash < 0 || schema.HasControl(dsn) {
		return "", false
	}
	front := dsn[:slash]
	if network := front[strings.LastIndexByte(front, '@')+1:]; network == "unix" || strings.HasSuffix(network, "()") {
		return "", false
	}
	database, params, found := strings.Cut(dsn[slash:], "?")
	if found {
		for p := range strings.SplitSeq(params, "&") {
			if key, _, ok := strings.Cut(p, "="); !ok || key == "" {
				return "", false
			}
		}
	}
	return front + database, true
}
