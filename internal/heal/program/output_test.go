package program_test

import (
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/heal/program"
)

func TestLastLine(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                 "",
		"a\nb\n\n":                         "b",
		"x\x1b[31m\ty":                     "x [31m y",
		"MYSQL_PWD_TOKEN=abc rest":         "MYSQL_PWD_TOKEN=<removed> rest",
		`{"password": "a b", "n": 1}`:      `{"password": <removed>, "n": 1}`,
		"mysql://u:p@h/db":                 "mysql://h/db",
		"curl -H 'Authorization: Basic x'": "curl -H 'Authorization: <removed>",
	} {
		if got := program.LastLine(in); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
}
