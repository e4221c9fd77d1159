package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// python is Debian's, which sees the modules of Debian's packages.
const python = "/usr/bin/python3"

// programs is what the demo starts, each with its Debian package.
var programs = [...]struct{ program, pkg string }{
	{"mariadbd", "mariadb-server"},
	{"mariadb-install-db", "mariadb-server"},
	{"mariadb", "mariadb-client"},
	{"redis-server", "redis-server"},
	{"gunicorn", "gunicorn"},
	{"rq", "python3-rq"},
	{"prometheus", "prometheus"},
	{"prometheus-alertmanager", "prometheus-alertmanager"},
	{python, "python3"},
}

// modules is what the shop imports, each with its Debian package.
var modules = [...]struct{ module, pkg string }{
	{"flask", "python3-flask"},
	{"sqlalchemy", "python3-sqlalchemy"},
	{"pymysql", "python3-pymysql"},
	{"redis", "python3-redis"},
	{"rq", "python3-rq"},
	{"setproctitle", "python3-setproctitle"},
}

// complete returns an error that names the Debian packages if a program that the demo
// needs is missing.
func complete(ctx context.Context) error {
	var missing, install []string
	lacks := func(what, pkg string) {
		missing = append(missing, what)
		if !slices.Contains(install, pkg) {
			install = append(install, pkg)
		}
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p.program); err != nil {
			lacks(p.program, p.pkg)
		}
	}
	known, err := modulesKnown(ctx)
	if err != nil && len(missing) == 0 {
		return err
	}
	for _, m := range modules {
		if err == nil && !slices.Contains(known, m.module) {
			lacks("Python's "+m.module, m.pkg)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("missing: %s; on Debian, as root: apt-get install %s", strings.Join(missing, ", "), strings.Join(install, " "))
}

// modulesKnown returns which of the modules Python finds.
func modulesKnown(ctx context.Context) ([]string, error) {
	names := make([]string, len(modules))
	for i, m := range modules {
		names[i] = m.module
	}
	const ask = "import sys, importlib.util as u; print(*[m for m in sys.argv[1:] if u.find_spec(m)])"
	out, err := exec.CommandContext(ctx, python, append([]string{"-c", ask}, names...)...).Output()
	if err != nil {
		return nil, errors.Join(errors.New("python does not say which modules it has"), err)
	}
	return strings.Fields(string(out)), nil
}
