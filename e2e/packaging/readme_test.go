package packaging_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// shellBlock matches a block for a shell in a list of the README.
var shellBlock = regexp.MustCompile("(?ms)^   ```\n(.*?)^   ```$")

// notRun are the programs of the README's first steps that this test does not run, and why;
// for those that read statements, what must be among them. Everything else is run.
var notRun = map[string]struct{ why, input, page string }{
	"make":      {why: "the package is the one that is tested"},
	"apt-get":   {why: "dpkg has installed it"},
	"systemctl": {why: "no systemd"},
	"curl":      {why: "no service without systemd"},
	"gunicorn":  {why: "e2e/ runs it with these flags"},
	"mariadb":   {why: "e2e/ runs these statements", input: "GRANT PROCESS ON *.* TO 'resp'@'127.0.0.1';", page: "../../docs/mysql.md"},
	"redis-cli": {why: "e2e/ runs this statement", input: "+ping +info +client|setname", page: "../../docs/redis.md"},
}

// followsREADME runs the first steps of the README on a host with the package, as root, with
// the programs of notRun replaced by functions that print their name and their input.
func followsREADME(t *testing.T, b built) {
	h := newHost(t)
	h.install(t, b.deb)
	_, text, _ := strings.Cut(read(t, "../../README.md"), "\n## Five minutes to a real set-up\n")
	text, _, _ = strings.Cut(text, "\n## ")
	script := "set -euo pipefail\nsudo() { \"$@\" || [ \"$1\" = setpriv ]; }\n" // doctor finds faults: nothing runs there
	for _, name := range slices.Sorted(maps.Keys(notRun)) {
		script += name + "() { echo \"not run: " + name + "\"; [ -t 0 ] || cat; }\n"
	}
	blocks := shellBlock.FindAllStringSubmatch(text, -1)
	if len(blocks) < 5 {
		t.Fatalf("%d blocks in the README", len(blocks))
	}
	for _, m := range blocks {
		for line := range strings.Lines(m[1]) {
			script += strings.TrimPrefix(line, "   ")
		}
	}
	out := h.shell(t, script)
	for name, not := range notRun {
		if !strings.Contains(out, "not run: "+name+"\n") || !strings.Contains(out, not.input) {
			t.Errorf("the README does not call %s with %q", name, not.input)
		}
		if not.page != "" && !strings.Contains(read(t, not.page), not.input) {
			t.Errorf("%s does not have %q", not.page, not.input)
		}
	}
	password := strings.TrimSpace(read(t, h.file("/etc/resp-exporter/mysql")))
	for _, want := range []string{
		"IDENTIFIED BY '" + password + "' WITH MAX_USER_CONNECTIONS 3;", "configuration is valid",
		"runs as resp-exporter (uid ", "with CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, without CAP_SYS_ADMIN", "no process found for shop",
	} {
		if len(password) != 48 || !strings.Contains(out, want) {
			t.Errorf("no %q in what the commands print:\n%s", want, out)
		}
	}
}

// shell runs a script there as root, with a /proc of its own.
func (h host) shell(t *testing.T, script string) string {
	t.Helper()
	const enter = `mkdir -p "$1/proc" && mount -t proc proc "$1/proc" && ln -sf /proc/self/fd/0 "$1/dev/stdin" && exec chroot "$1" /bin/bash -c "$2"`
	return run(t, []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, "unshare", "--mount", "--pid", "--fork", "sh", "-c", enter, "sh", h.root, script)
}
