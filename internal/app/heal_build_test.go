package app_test

import (
	"slices"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/app"
	"github.com/resp-exporter/resp-exporter/internal/config"
)

// Each action of the configuration can be built, and no other.
func TestEachActionIsBuilt(t *testing.T) {
	if got, want := app.BuiltActions(), slices.Sorted(slices.Values(config.ActionNames())); !slices.Equal(got, want) {
		t.Errorf("internal/app/heal_build.go builds %q, internal/config has %q", got, want)
	}
}
