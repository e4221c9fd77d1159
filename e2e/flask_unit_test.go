package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// integration is the directory of the app side.
const integration = "../integrations/flask"

// TestFlaskUnit runs the tests of the app side with Debian's Python, which has Flask and
// SQLAlchemy, and its WSGI part with each other Python that is there.
func TestFlaskUnit(t *testing.T) {
	t.Parallel()
	const debian = "/usr/bin/python3"
	if out, err := exec.Command(debian, "-c", "import flask, redis, sqlalchemy").CombinedOutput(); err != nil {
		t.Fatalf("install python3-flask, python3-redis and python3-sqlalchemy (make deps): %v\n%s", err, out)
	}
	pythons := map[string][]string{debian: {"test_resp_flask"}}
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	others, err := filepath.Glob(filepath.Join(home, ".pyenv/versions/3.*/bin/python3"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range others {
		out, err := exec.Command(p, "-c", "import sys; print(sys.version_info >= (3, 8))").Output()
		if err == nil && strings.TrimSpace(string(out)) == "True" {
			pythons[p] = []string{"test_resp_flask.WSGITests", "test_resp_flask.ControlTests", "test_resp_flask.SenderTests", "test_resp_flask.TaskTests"}
		}
	}
	for python, tests := range pythons {
		t.Run(python, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), python, append([]string{"-B", "-m", "unittest"}, tests...)...)
			cmd.Dir = integration
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
