package doctor

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// Only the reads that Yama or a process that is not dumpable prevents are reported.
func TestBarred(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Fatal("this test gives files to other users: run it as root")
	}
	root := t.TempDir()
	file := func(path, text string, uid int) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	file("10/environ", "", 33)
	file("11/environ", "", 0)
	if b := ptraceLimitsOf(root, 10, 33); b != (ptraceLimits{}) || !b.sameUser("workers") || b.explain("workers") != "" {
		t.Errorf("without Yama: %+v", b)
	}
	if b := ptraceLimitsOf(root, 11, 33); !b.opaque || b.sameUser("listener") || b.explain("listener") == "" {
		t.Errorf("not dumpable: %+v", b)
	}
	if b := ptraceLimitsOf(root, 11, 0); b.opaque {
		t.Errorf("root's own: %+v", b)
	}
	if b := ptraceLimitsOf(root, 12, 33); b != (ptraceLimits{}) {
		t.Errorf("gone: %+v", b)
	}
	for scope := range 4 {
		file("sys/kernel/yama/ptrace_scope", strconv.Itoa(scope)+"\n", 0)
		b := ptraceLimitsOf(root, 10, 33)
		if b.yama != scope || b.sameUser("workers") != (scope == 0) || !b.sameUser("listener") || (b.explain("workers") == "") != (scope == 0) || b.explain("listener") != "" {
			t.Errorf("scope %d: %+v", scope, b)
		}
	}
}

func TestShellLine(t *testing.T) {
	t.Parallel()
	got := shellLine([]string{"redis-cli", "-p", "6380", "+client|setname", ">it's", "", "$(x)", "~a*"})
	if want := `redis-cli -p 6380 '+client|setname' '>it'\''s' '' '$(x)' '~a*'`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
