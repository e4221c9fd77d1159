package keyspace_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/heal/keyspace"
)

func TestSame(t *testing.T) {
	ids := map[string]string{"cache": "run 1, 0", "alias": "run 1, 0", "other": "run 2, 0"}
	for _, c := range []struct {
		x, y        string
		same, fails bool
		asked       []string
	}{
		{"cache", "cache", true, false, nil}, {"gone", "gone", true, false, nil}, {"cache", "alias", true, false, []string{"cache", "alias"}},
		{"cache", "other", false, false, []string{"cache", "other"}}, {"gone", "cache", false, true, []string{"gone"}}, {"cache", "gone", false, true, []string{"cache", "gone"}},
	} {
		var asked []string
		same, err := keyspace.Same(t.Context(), c.x, c.y, func(_ context.Context, name string) (string, error) {
			asked = append(asked, name)
			if ids[name] == "" {
				return "", keyspace.ErrNotConfigured
			}
			return ids[name], nil
		})
		if same != c.same || errors.Is(err, keyspace.ErrNotConfigured) != c.fails || !slices.Equal(asked, c.asked) {
			t.Errorf("%s and %s: %t, %v, queried %v", c.x, c.y, same, err, asked)
		}
	}
}
