package doctor_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/doctor"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/redistest"
)

// A right of the relay that is missing is named, with the command that grants it.
func TestRelay(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rules := redis.Rights{Relay: true}.Rules(false)
	for _, c := range []struct{ drop, want string }{{"", ""}, {"+xadd ", "xadd"}, {"~resp:heal:relay:*", "resp:heal:relay:*"}} {
		err := server.Open().WithKeys(t.Context(), func(ctx context.Context, l *redis.Link) error {
			args := []any{"acl", "setuser", "u", "reset", "on", ">p"}
			for _, r := range rules {
				args = append(args, strings.ReplaceAll(r, c.drop, ""))
			}
			return l.Client().Do(ctx, args...).Err()
		})
		if err != nil {
			t.Fatal(err)
		}
		s := subject(t)
		token := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(token, []byte("token\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s.Config.Healing.TokenFile, s.Config.Healing.Relay.Redis = token, "cache"
		s.Config.Healing.Identity = config.Identity{Label: "instance", Value: "a"}
		s.Config.Redis = []config.Redis{{Name: "cache", URL: "redis://u@127.0.0.1:6379/0"}}
		client := server.OpenAs("u", "p")
		s.Redis = func(string) *redis.Server { return client }
		var got []string
		for _, section := range doctor.Examine(t.Context(), s).Sections {
			for _, f := range section.Findings {
				if section.Name == "heal" && f.Of == "redis:cache" {
					got = append(got, f.Detail)
					if !f.Fault || f.Reason != collectors.Permission || len(f.Remedy) != 1 || !strings.Contains(f.Remedy[0], "+xadd") {
						t.Errorf("%+v", f)
					}
				}
			}
		}
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.HasSuffix(got[0], ": "+c.want)) {
			t.Errorf("without %s: %q", c.drop, got)
		}
	}
}
