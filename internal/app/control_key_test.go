package app_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/redis/redistest"
)

// A reload whose secret of the control keys cannot be used is refused, and the previous
// configuration stays. At the start it is not: the rest of the exporter works without.
func TestReloadChecksControlKey(t *testing.T) {
	server, dir := redistest.Start(t), t.TempDir()
	good, short := filepath.Join(dir, "good"), filepath.Join(dir, "short")
	write(t, good, "0123456789abcdef\n")
	write(t, short, "short\n")
	conf := func(warning float64, control string) string {
		return fmt.Sprintf("statsd: {listen: []}\nthresholds: {cpu: {warning: %g}}\nredis: [{name: cache, url: %q}]\n%s", warning, server.URL(), control)
	}
	with := func(file string) string {
		return fmt.Sprintf("healing: {control: {redis: cache, key_file: %s}}\n", file)
	}
	e := run(t, conf(0.5, with(short)), nil)
	force := 0.5
	for i, c := range []struct {
		control string
		ok      bool
	}{{with(short), false}, {with(good), true}, {with(filepath.Join(dir, "none")), false}, {with(dir), false}, {"", true}} {
		warning := 0.6 + float64(i)/100
		write(t, e.file, conf(warning, c.control))
		code, body := ask(t, http.MethodPost, e.url+"/-/reload")
		if (code == http.StatusOK) != c.ok || !c.ok && !strings.Contains(body, "healing.control.key_file: ") || strings.Contains(body, dir) {
			t.Errorf("%d: %d %s", i, code, body)
		}
		if c.ok {
			force = warning
		}
		line := fmt.Sprintf("resp_threshold{resource=\"cpu\",severity=\"warning\"} %g\n", force)
		_, page := get(t, e.url+"/metrics")
		if !strings.Contains(page, line) {
			t.Errorf("%d: no %q", i, line)
		}
		if has := strings.Contains(page, "\nresp_heal_control_keys 0\n"); has == (c.control == "" && c.ok) {
			t.Errorf("%d: the metric of the keys: %t", i, has)
		}
	}
}
