package match

import (
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

func TestMatch(t *testing.T) {
	p := &table.Process{PID: 50, UID: 1001, Stat: procfs.Stat{PPID: 1}, Argv: []string{"python3", "/usr/bin/gunicorn", "shop:app"}}
	groups := func() []string { return []string{"/system.slice/shop.service", "/docker/abc"} }
	for name, c := range map[string]struct {
		m    config.Match
		want bool
	}{
		"cmdline":              {config.Match{Cmdline: "gunicorn.*shop"}, true},
		"other cmdline":        {config.Match{Cmdline: "gunicorn.*front"}, false},
		"user by number":       {config.Match{User: "1001"}, true},
		"other user":           {config.Match{User: "root"}, false},
		"no such user":         {config.Match{User: "nobody-of-that-name"}, false},
		"unit":                 {config.Match{SystemdUnit: "shop.service"}, true},
		"unit without ending":  {config.Match{SystemdUnit: "shop"}, true},
		"other unit":           {config.Match{SystemdUnit: "hop.service"}, false},
		"cgroup":               {config.Match{Cgroup: "/docker/abc"}, true},
		"cgroup above":         {config.Match{Cgroup: "/system.slice/"}, true},
		"half a cgroup's name": {config.Match{Cgroup: "/docker/ab"}, false},
		"all given must hold":  {config.Match{Cmdline: "gunicorn", User: "1001", SystemdUnit: "front"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := NewMatcher(config.App{Name: "x", Match: c.m})
			if got := m.MatchesProcess(p, groups, func() uint32 { return p.UID }); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
	m := NewMatcher(config.App{Match: config.Match{Cmdline: ".*"}})
	if m.MatchesProcess(&table.Process{PID: 7, Stat: procfs.Stat{Kernel: true}}, groups, nil) {
		t.Error("a kernel thread matched")
	}
}
