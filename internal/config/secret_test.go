package config_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/resp-exporter/resp-exporter/internal/config"
)

type login struct{ Password config.Secret }

func TestSecretHidesItself(t *testing.T) {
	const word = config.Secret("hunter2")
	type inner struct {
		Password config.Secret
		Pointer  *config.Secret
		List     []config.Secret
		Values   map[string]config.Secret
		Any      any
	}
	pointed := word
	whole := inner{word, &pointed, []config.Secret{word}, map[string]config.Secret{"main": word}, word}
	printed := map[string]string{
		"String": word.String(), "GoString": word.GoString(), "Sprint": fmt.Sprint(word), "error": fmt.Errorf("login as %s: %w", word, fmt.Errorf("%v", word)).Error(),
	}
	for _, verb := range []string{"%s", "%v", "%+v", "%#v", "%q", "%x", "%X", "%d", "%10.3s", "%T %v"} {
		args := []any{word}
		if verb == "%T %v" {
			args = []any{word, word}
		}
		printed[verb] = fmt.Sprintf(verb, args...)
		if verb != "%T %v" {
			printed[verb+" of a struct"] = fmt.Sprintf(verb, []inner{whole})
		}
	}
	for name, encode := range map[string]func(any) ([]byte, error){"json": json.Marshal, "yaml": yaml.Marshal} {
		for what, v := range map[string]any{"alone": word, "in a struct": whole} {
			b, err := encode(v)
			if err != nil {
				t.Errorf("%s %s: %v", name, what, err)
			}
			printed[name+" "+what] = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(string(b))
		}
	}
	b, err := xml.Marshal(login{word})
	if err != nil {
		t.Error(err)
	}
	printed["xml"] = strings.NewReplacer("&lt;", "<", "&gt;", ">").Replace(string(b))
	var text, lines bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&text, nil), slog.NewJSONHandler(&lines, nil)} {
		slog.New(h).Info("login", "password", word, "all", whole, slog.Group("g", "p", &pointed))
	}
	printed["slog text"] = text.String()
	printed["slog json"] = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(lines.String())

	for how, s := range printed {
		if strings.Contains(s, "hunter2") || strings.Contains(strings.ToLower(s), fmt.Sprintf("%x", "hunter2")) {
			t.Errorf("%s shows it: %s", how, s)
		}
		if !strings.Contains(s, "<secret>") {
			t.Errorf("%s does not say that there is a secret: %s", how, s)
		}
	}
	if string(word) != "hunter2" {
		t.Error("a conversion must give the text")
	}
}

// The text of a secret does not show whether it is empty.
func TestEmptySecret(t *testing.T) {
	if got := fmt.Sprintf("%v %#v", config.Secret(""), config.Secret("")); got != "<secret> <secret>" {
		t.Errorf("got %s", got)
	}
}
