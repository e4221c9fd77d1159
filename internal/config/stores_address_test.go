package config_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config"
)

func TestParseDSN(t *testing.T) {
	for dsn, want := range map[string][2]string{
		"/":                                 {"tcp", "127.0.0.1:3306"},
		"a:b@/db":                           {"tcp", "127.0.0.1:3306"},
		"a@tcp/":                            {"tcp", "127.0.0.1:3306"},
		"resp@tcp(10.0.0.7:3307)/":          {"tcp", "10.0.0.7:3307"},
		"resp@tcp(db.example)/x?tls=true":   {"tcp", "db.example:3306"},
		"resp@tcp([::1])/":                  {"tcp", "[::1]:3306"},
		"resp@tcp([::1]:3308)/":             {"tcp", "[::1]:3308"},
		"resp@tcp(db.example)/x?tls=maybe":  {"tcp", "db.example:3306"},
		"resp:p@:/w@unix(/run/my.sock)/db":  {"unix", "/run/my.sock"},
		"resp:tcp(x:1)@tcp(db.example:1)/x": {"tcp", "db.example:1"},
	} {
		if cfg, err := config.ParseDSN(config.Secret(dsn)); cfg == nil || errors.Is(err, config.ErrDSNParameter) != strings.Contains(dsn, "maybe") || cfg.Net != want[0] || cfg.Addr != want[1] {
			t.Errorf("%s: %+v %v, want %v", dsn, cfg, err, want)
		}
	}
}
