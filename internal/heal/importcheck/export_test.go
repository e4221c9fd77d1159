package importcheck

import (
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/procid"
)

// GunicornAt finds gunicorn on a command line of Python.
func GunicornAt(argv []string) int { return gunicornIndex(argv) }

// Lazy reports whether workers of uWSGI may load the app themselves.
func Lazy(l procid.Launch) bool { return lazy(l) }

// Preloaded reports whether workers of gunicorn have the app from their master.
func Preloaded(l procid.Launch) bool {
	return Checker{Server: cmdline.Gunicorn}.preloaded(l)
}

// CheckOf returns the program that imports an app of gunicorn whose master and
// worker run as uid, and its environment. argv is that of the configuration.
func CheckOf(l procid.Launch, uid uint32, confined error, argv ...string) (path string, args, env []string, refused action.Refusal) {
	who := procid.Process{Credentials: procid.Credentials{UIDs: [4]uint32{uid, uid, uid, uid}}}
	p, refused := Checker{Server: cmdline.Gunicorn, Argv: argv}.command(l, owners{master: who, worker: who, confined: confined})
	if p == nil {
		return "", nil, nil, refused
	}
	return p.Path, p.Argv, p.Env, refused
}

// RootEnv returns the part of an environment that a check of root gets.
func RootEnv(env []string) []string { return rootEnv(env) }
