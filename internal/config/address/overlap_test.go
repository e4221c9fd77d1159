package address_test

import (
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config/address"
)

// Addresses are compared in one form, and paths as they are.
func TestOverlap(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		x, y string
		want bool
	}{
		{"db:3306", "DB.:03306", true},
		{"localhost:3306", "[::1]:3306", true},
		{"127.0.0.1:3306", "127.8.8.8:3306", true},
		{"10.0.0.7:3306", "[::ffff:10.0.0.7]:3306", true},
		{"db:3306", "db:3307", false},
		{"db:3306", "other:3306", false},
		{"/run/db", "/run/db", true},
		{"/run/DB:1", "/run/db:01", false},
		{"/run/db:1", "/run/db:1", true},
	} {
		if got := address.Overlap([]string{"x:1", c.x}, []string{c.y}); got != c.want {
			t.Errorf("%s and %s: %t", c.x, c.y, got)
		}
	}
}
