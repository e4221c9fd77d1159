package redact_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/heal/redact"
)

// Secrets and literals of statements are removed from evidence.
func TestRedact(t *testing.T) {
	in := `{"dsn":"u:pw@tcp(h)/","url":"redis://u:hunter2@h/0","note":"resp:hunter2@tcp(db:3306)/ fails","token":1,
		"statement":"select * from t where name='o''hara' and pin=1234 and x=\"y\"","list":[{"password":"p"}],"n":12345678901234567890}`
	got := string(redact.JSON(json.RawMessage(in), 64<<10))
	for _, secret := range []string{"hunter2", "pw@", "hara", "1234 ", `"y`, `"p"`} {
		if strings.Contains(got, secret) {
			t.Errorf("%q is in %s", secret, got)
		}
	}
	if !strings.Contains(got, "12345678901234567890") || !strings.Contains(got, "where name=? and pin=?") {
		t.Error(got)
	}
	if redact.JSON(json.RawMessage("{"), 100) != nil || len(redact.JSON(json.RawMessage(`"`+strings.Repeat("x", 70000)+`"`), 64<<10)) > 100 {
		t.Error("what is no JSON, or too much, is kept")
	}
}
