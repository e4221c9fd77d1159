package config_test

import (
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config"
)

func TestWay(t *testing.T) {
	for dsn, want := range map[config.Secret]config.Transport{
		"resp@tcp(127.0.0.1:3306)/":            {User: "resp"},
		"resp:p@ss/word@tcp(db:3306)/shop":     {User: "resp", Password: true},
		"resp:@unix(/run/mysqld/mysqld.sock)/": {User: "resp", Socket: "/run/mysqld/mysqld.sock"},
		"resp@tcp(db)/?timeout=1s&tls=true":    {User: "resp", TLS: true},
		"resp@tcp(db)/?tls=false":              {User: "resp"},
		"resp@tcp(db)/?tls=0":                  {User: "resp"},
		"resp@tcp(db)/?tls=False":              {User: "resp"},
		"resp@tcp(db)/?tls=1":                  {User: "resp", TLS: true},
		"resp@tcp(db)/?tls=skip-verify":        {User: "resp", TLS: true},
		"/":                                    {},
		"":                                     {},
	} {
		if got := (config.MySQL{DSN: dsn}).Transport(); got != want {
			t.Errorf("%q: %+v, want %+v", string(dsn), got, want)
		}
	}
	for url, want := range map[config.Secret]config.Transport{
		"redis://resp@127.0.0.1:6379/0":    {User: "resp"},
		"rediss://:word@cache":             {TLS: true, Password: true},
		"unix://resp@/run/redis.sock?db=1": {User: "resp", Socket: "/run/redis.sock"},
		"redis+sentinel://a,b/master":      {},
		"no URL":                           {},
	} {
		if got := (config.Redis{URL: url}).Transport(); got != want {
			t.Errorf("%q: %+v, want %+v", string(url), got, want)
		}
	}
	for want, w := range map[string]config.Transport{"by TCP": {}, "by TLS": {TLS: true}, "by a UNIX socket": {Socket: "/s", TLS: true}} {
		if got := w.String(); got != want {
			t.Errorf("%+v is %q", w, got)
		}
	}
}
