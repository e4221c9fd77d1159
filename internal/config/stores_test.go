package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config"
)

func TestStoreAddresses(t *testing.T) {
	tests := map[string]map[bool][]string{
		"mysql: [{name: a, dsn: %q}]": {
			true: {
				"/", "a@/", "a:b@/db", "resp@tcp(127.0.0.1:3306)/", "resp@tcp(db.example)/", "resp@tcp([::1]:3306)/x?tls=true&timeout=1s", "resp@tcp/",
				"resp@unix(/run/mysqld/mysqld.sock)/", "resp:p@:/w?rd@tcp(db:1)/", "a@/?collation=", "a:ü b@/", "a@/?timeout=soon", "a@/?tls=maybe",
			},
			false: {
				"a", "a@tcp(127.0.0.1:3306)", "a@127.0.0.1:3306/", "mysql://a@127.0.0.1:3306/", "a@tcp(127.0.0.1:0)/", "a@tcp(127.0.0.1:70000)/", "a@tcp(10.0.0.999:1)/",
				"a@tcp()/", "a@tcp(a b:1)/", "a@unix(run/x)/", "a@unix(@abstract)/", "a@unix()/", "a@udp(127.0.0.1:1)/", "a@tcp(h:1/", "a@/db?tls", "a@/db?=x", "a@/db?", "a\n@/", " ", "a@unix/",
			},
		},
		"redis: [{name: a, url: %q}]": {
			true: {
				"redis://127.0.0.1", "redis://127.0.0.1:6379", "redis://a:b@cache:6379/3", "rediss://[::1]:6379/0", "rediss://cache/?ca_file=/etc/ca.pem",
				"unix:///run/redis.sock", "unix://a:b@/run/redis.sock?db=2",
			},
			false: {
				"127.0.0.1:6379", "redis:", "redis://", "redis:///0", "redis://:6379", "redis://127.0.0.1:0", "redis://127.0.0.1:70000", "redis://10.0.0.999",
				"redis://cache/zero", "redis://cache/-1", "redis://cache/0#x", "http://cache", "unix://run/redis.sock", "unix:///", "unix://", "redis://a b", "redis://%zz@cache", "rediss://cache/?dial_timeout=1s",
			},
		},
	}
	for form, cases := range tests {
		for ok, list := range cases {
			for _, s := range list {
				if _, err := config.Load(strings.NewReader(fmt.Sprintf(form, s)), "f", nil); (err == nil) != ok {
					t.Errorf("%q: %v, want taken to be %t", s, err, ok)
				}
			}
		}
	}
}

// For every way to set a secret wrongly, no part of it is in the error.
func TestSecretIsInNoFault(t *testing.T) {
	const word = "hunter2"
	for _, form := range []string{
		"mysql: [{name: a, dsn: %s}]", "mysql: [{name: a, dsn: [%s]}]", "mysql: [{name: a, dsn: {%s: 1}}]", "mysql: [{name: a, dsn: !x %s}]", "mysql: [{name: a, dsn: &%s b}]",
		"mysql: [{name: a, dsn: a@/, fallback_dsns: %s}]", "mysql: [{name: a, dsn: a@/, fallback_dsns: [%s]}]", "mysql: [{name: a, dsn: a@/, fallback_dsns: {%s: 1}}]",
		"mysql: [{name: a, dsn: 'a:%s@tcp(x/'}]", "redis: [{name: a, url: %s}]", "redis: [{name: a, url: 'redis://a:%s@:x'}]", "redis: [{name: a, url: [%s]}]", "redis: [{name: a, url: \"redis://a:%s%%zz@x\"}]",
	} {
		_, err := config.Load(strings.NewReader(fmt.Sprintf(form, word)), "f", nil)
		if err == nil || strings.Contains(err.Error(), word) {
			t.Errorf("%s gives %v, want an error without the word", form, err)
		}
	}
}
