package schema_test

import (
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config/schema"
)

func TestSize(t *testing.T) {
	for text, want := range map[string]schema.Size{
		"16MiB": 16 << 20, "1MiB": 1 << 20, "0MiB": 0, "2147483647MiB": 2147483647 << 20,
		"": -1, "MiB": -1, "16": -1, "16MB": -1, "-1MiB": -1, "016MiB": -1, " 16MiB": -1, "1.5MiB": -1, "2147483648MiB": -1, "+1MiB": -1,
	} {
		got := schema.Size(-1)
		if err := got.SetText(text); (err == nil) != (want >= 0) || got != want {
			t.Errorf("%q is %d, %v", text, int64(got), err)
		}
		if want >= 0 && got.String() != text {
			t.Errorf("%q is written as %q", text, got)
		}
	}
}
