package schema_test

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config/schema"
)

func TestParseDuration(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "1h30m": 90 * time.Minute, "0": 0, "-1s": -time.Second, "1d": day, "1w": 7 * day, "2w3d12h": 17*day + 12*time.Hour,
		"0d": 0, "0w0d": 0, "999w9999d": (7*999 + 9999) * day, "1d1ms": day + time.Millisecond,
	} {
		if got, err := schema.ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", "1", "d", "1d1w", "1000w", "10000d", "1d-1h", "1d+1h", "1d x", "1d1d", "1w2562047h", "9999d2562047h", "1.5d", "1 d"} {
		if got, err := schema.ParseDuration(text); err == nil || got != 0 {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

// FuzzParseDuration: everything that package time reads has the same value, and days
// before it add up.
func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"1h", "1d", "2w3d12h", "-1s", "1.5h", "1d-1h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := schema.ParseDuration(s)
		want, timeErr := time.ParseDuration(s)
		if timeErr == nil && (err != nil || got != want) {
			t.Errorf("%q: %v, %v, want %v", s, got, err, want)
		}
		if err != nil && got != 0 {
			t.Errorf("%q: %v and %v", s, got, err)
		}
		if timeErr != nil || want < 0 {
			return
		}
		if day, err := schema.ParseDuration("1d" + s); err == nil && day != 24*time.Hour+want {
			t.Errorf("a day and %q: %v", s, day)
		}
	})
}
