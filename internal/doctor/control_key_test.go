package doctor_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/doctor"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/redistest"
)

// A secret that is too short and a missing right are named, the latter with the command that
// grants it.
func TestControlKeys(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rules := redis.Rights{Control: true}.Rules(false)
	for _, c := range []struct {
		drop, secret   string
		right, secrets int // findings
	}{{"", "0123456789abcdef", 0, 0}, {"+eval ", "0123456789abcdef", 1, 0}, {"", "short", 0, 1}} {
		err := server.Open().WithKeys(t.Context(), func(ctx context.Context, l *redis.Link) error {
			args := []any{"acl", "setuser", "u", "reset", "on", ">p"}
			for _, r := range rules {
				args = append(args, strings.Replace(r, c.drop, "", 1))
			}
			return l.Client().Do(ctx, args...).Err()
		})
		if err != nil {
			t.Fatal(err)
		}
		s := subject(t)
		file := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(file, []byte(c.secret), 0o600); err != nil {
			t.Fatal(err)
		}
		s.Config.Healing.Control = config.Control{Redis: "cache", KeyFile: file}
		s.Config.Redis = []config.Redis{{Name: "cache", URL: "redis://u@127.0.0.1:6379/0"}}
		client := server.OpenAs("u", "p")
		s.Redis = func(string) *redis.Server { return client }
		right, secrets := 0, 0
		for _, section := range doctor.Examine(t.Context(), s).Sections {
			for _, f := range section.Findings {
				switch {
				case section.Name != "heal" || !f.Fault:
				case f.Of == "redis:cache" && len(f.Remedy) == 1 && strings.Contains(f.Remedy[0], "+eval"):
					right++
				case f.Of == "heal" && strings.Contains(f.Detail, "key_file"):
					secrets++
				}
			}
		}
		if right != c.right || secrets != c.secrets {
			t.Errorf("%+v: %d findings of rights, %d of secrets", c, right, secrets)
		}
	}
}
