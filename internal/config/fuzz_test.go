package config_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/config/address"
)

// FuzzLoad: for any file, Load returns either a valid configuration, always the same,
// or an error with the file's name in each line.
func FuzzLoad(f *testing.F) {
	for _, kind := range []string{"valid", "invalid"} {
		for _, data := range testdata(f, kind) {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := config.Load(bytes.NewReader(data), "f.yml", nil)
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.HasPrefix(line, "f.yml:") {
					t.Errorf("the line %q does not name the file", line)
				}
			}
			return
		}
		if err := c.Check(); err != nil {
			t.Errorf("loaded although %v", err)
		}
		again, err := config.Load(bytes.NewReader(data), "f.yml", nil)
		if err != nil || !reflect.DeepEqual(c, again) {
			t.Errorf("a second time it is %+v, %v; the first time %+v", again, err, c)
		}
		for _, a := range c.Apps {
			if l, ok := address.ParseListen(a.Match.Listen); a.Match.Listen != "" && (!ok || l.String() != a.Match.Listen) {
				t.Errorf("%q is not in its one form, %q, %v", a.Match.Listen, l, ok)
			}
		}
	})
}
