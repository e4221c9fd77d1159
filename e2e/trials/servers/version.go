package servers

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// module returns the path of mod_wsgi in a virtual environment; empty: it has none.
func (p Place) module() string {
	found, err := filepath.Glob(filepath.Join(p.Dir, "lib/python3.*/site-packages/mod_wsgi/server/mod_wsgi*.so"))
	if err != nil || len(found) == 0 {
		return ""
	}
	return found[0]
}

// home returns the directory of the Python that a virtual environment was made of.
func (p Place) home(ctx context.Context) string {
	out, err := output(ctx, p.python(), "-c", "import sys; print(sys.base_prefix)")
	if err != nil {
		return p.Dir
	}
	return out
}

// Version returns the version of the server, and of the Python that runs it.
func (p Place) Version(ctx context.Context, s Server) (string, error) {
	python, err := output(ctx, p.python(), "-c", "import platform; print(platform.python_version())")
	if err != nil {
		return "", err
	}
	var version string
	switch packages := map[string]string{"uwsgi": "uwsgi-core", "mod_wsgi": "libapache2-mod-wsgi-py3"}; {
	case s.program == "uwsgi":
		version, err = output(ctx, p.program("uwsgi"), "--version")
	case packages[s.program] != "" && !p.newest():
		if version, err = output(ctx, "dpkg-query", "-W", "-f=${Version}", packages[s.program]); err == nil {
			version, _, _ = strings.Cut(version, "-")
		}
	default:
		name := strings.TrimSuffix(s.program, "-serve")
		version, err = output(ctx, p.python(), "-c", fmt.Sprintf("from importlib.metadata import version; print(version(%q))", name))
	}
	if err != nil {
		return "", fmt.Errorf("version of %s: %w", s.program, err)
	}
	return version + ", Python " + python, nil
}

// output returns what a program prints, without the last line's end.
func output(ctx context.Context, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, args...).Output()
	return strings.TrimSpace(string(out)), err
}
