package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.yml"), filepath.Join(dir, "bad.yml")
	for file, content := range map[string]string{good: "slow_request: 2s\n", bad: "slow_request: 2s\nslow: 1\n"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		args        []string
		code        int
		out, errOut string // regular expressions
	}{
		"help":                  {[]string{"--help"}, 0, `(?s)--web.listen-address.*--\[no-\]collector.workers`, `^$`},
		"version":               {[]string{"--version"}, 0, `^resp_exporter, version`, `^$`},
		"unknown flag":          {[]string{"--colector.host"}, 2, ``, `unknown long flag`},
		"unknown command":       {[]string{"sevre"}, 2, ``, `sevre`},
		"good configuration":    {[]string{"--config.file=" + good, "--config.check"}, 0, `configuration is valid`, `^$`},
		"bad configuration":     {[]string{"--config.file=" + bad, "--config.check"}, 1, `^$`, `bad.yml:2: slow: unknown key`},
		"no such file":          {[]string{"--config.file=" + dir + "/none.yml", "--config.check"}, 1, `^$`, `none.yml`},
		"bad configuration run": {[]string{"serve", "--config.file=" + bad}, 1, ``, `bad.yml:2: slow: unknown key`},
		"bad offset":            {[]string{"--timeout-offset=-1s"}, 2, ``, `--timeout-offset: expected`},
		"bad URL":               {[]string{"--web.external-url=:x:"}, 2, ``, `--web.external-url`},
		"bad log level":         {[]string{"--log.level=loud"}, 2, ``, `loud`},
		"address taken":         {[]string{"--web.listen-address=256.0.0.1:0"}, 1, ``, `256.0.0.1`},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errOut bytes.Buffer
			code := run(c.args, &out, &errOut)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if !regexp.MustCompile(c.out).MatchString(out.String()) {
				t.Errorf("standard output has no %q:\n%s", c.out, out.String())
			}
			if !regexp.MustCompile(c.errOut).MatchString(errOut.String()) {
				t.Errorf("standard error has no %q:\n%s", c.errOut, errOut.String())
			}
		})
	}
}

func TestFlags(t *testing.T) {
	var out bytes.Buffer
	f, err := parseFlags([]string{"--collector.disable-defaults", "--collector.host", "--web.external-url=https://x.example/admin/resp/"}, &out, &out)
	if err != nil {
		t.Fatal(err)
	}
	if f.app.Off["host"] || !f.app.Off["disk"] || f.app.RoutePrefix != "/admin/resp/" {
		t.Errorf("%+v", f.app)
	}
	if f, err = parseFlags([]string{"--no-collector.host", "--web.route-prefix=/p", "--web.external-url=https://x.example/q"}, &out, &out); err != nil {
		t.Fatal(err)
	}
	if !f.app.Off["host"] || f.app.Off["disk"] || f.app.RoutePrefix != "/p" {
		t.Errorf("%+v", f.app)
	}
}

// docs/config.md has every flag.
func TestFlagsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	run([]string{"--help"}, &out, &out)
	found := regexp.MustCompile(`--(?:\[no-\])?([a-z][a-z.-]*[a-z])`).FindAllStringSubmatch(out.String(), -1)
	if len(found) < 20 {
		t.Fatalf("only %d flags in\n%s", len(found), out.String())
	}
	for _, m := range found {
		name := strings.TrimPrefix(m[1], "no-")
		if strings.HasPrefix(name, "collector.") && name != "collector.disable-defaults" {
			name = "collector.<name>"
		}
		if !strings.HasPrefix(name, "help") && !strings.Contains(string(page), name) {
			t.Errorf("--%s is not in docs/config.md", m[1])
		}
	}
}
