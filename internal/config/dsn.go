package config

import (
	"errors"
	"net"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// errDSN repeats nothing of the DSN, which may hold a password.
var errDSN = errors.New("expected " + wanted[MySQL]("dsn"))

// ParseDSN reads a DSN with the parser of the MySQL driver. It accepts TCP with
// "host[:port]" and UNIX sockets with an absolute path, and parameters of the
// form key=value. A missing port becomes 3306. The error says what is expected.
func ParseDSN(dsn Secret) (*mysql.Config, error) {
	cfg, err := mysql.ParseDSN(string(dsn))
	if err != nil || !isPlainDSN(string(dsn)) { // the driver's own error repeats parts of the DSN
		return nil, errDSN
	}
	switch cfg.Net {
	case "tcp":
		// The driver puts brackets around "[::1]", too, before it adds a port.
		cfg.Addr = strings.NewReplacer("[[", "[", "]]", "]").Replace(cfg.Addr)
		if !isHostPort(cfg.Addr) {
			return nil, errDSN
		}
	case "unix":
		if !isSocketPath(cfg.Addr) {
			return nil, errDSN
		}
	default:
		return nil, errDSN
	}
	return cfg, nil
}

// isPlainDSN reports whether a DSN has nothing that the driver would ignore or
// replace by a default: empty brackets, "unix" without a path, a parameter
// without a value.
func isPlainDSN(dsn string) bool {
	slash := strings.LastIndexByte(dsn, '/')
	if slash < 0 || hasControl(dsn) {
		return false
	}
	front := dsn[:slash]
	if network := front[strings.LastIndexByte(front, '@')+1:]; network == "unix" || strings.HasSuffix(network, "()") {
		return false
	}
	_, params, ok := strings.Cut(dsn[slash:], "?")
	if !ok {
		return true
	}
	for p := range strings.SplitSeq(params, "&") {
		if key, _, ok := strings.Cut(p, "="); !ok || key == "" {
			return false
		}
	}
	return true
}

// isHostPort reports whether s is "host:port" with a host that can be one.
func isHostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" || !isHost(host) {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}
