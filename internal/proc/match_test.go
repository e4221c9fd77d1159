package proc

import (
	"slices"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config"
)

func TestMatch(t *testing.T) {
	p := &process{pid: 50, uid: 1001, stat: stat{ppid: 1}, argv: []string{"python3", "/usr/bin/gunicorn", "shop:app"}}
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
			m := newMatcher(config.App{Name: "x", Match: c.m})
			if got := m.fixed(p, groups, func() uint32 { return p.uid }); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
	m := newMatcher(config.App{Match: config.Match{Cmdline: ".*"}})
	if m.fixed(&process{pid: 7, stat: stat{kernel: true}}, groups, nil) {
		t.Error("a kernel thread matched")
	}
}

// A command line is matched up to a bound, so that long ones of strangers cost
// no more than others.
func TestCommandLine(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	for name, c := range map[string]struct {
		argv []string
		want string
	}{
		"none":           {nil, ""},
		"some":           {[]string{"gunicorn", "-w", "4", "shop:app"}, "gunicorn -w 4 shop:app"},
		"empty ones":     {[]string{"a", "", "b"}, "a  b"},
		"a long one":     {[]string{"gunicorn", long}, ("gunicorn " + long)[:maxLine]},
		"behind a long":  {[]string{long, "gunicorn"}, long[:maxLine]},
		"just the bound": {[]string{long[:maxLine-2], "b"}, long[:maxLine-2] + " b"},
	} {
		if got := commandLine(c.argv); got != c.want {
			t.Errorf("%s: %d bytes, want %d", name, len(got), len(c.want))
		}
	}
}

func TestListensOn(t *testing.T) {
	for _, c := range []struct {
		want, label string
		ok          bool
	}{
		{":8000", ":8000", true},
		{":8000", "127.0.0.1:8000", true},
		{":8000", "[::1]:8000", true},
		{":8000", ":18000", false},
		{":8000", "unix:/run/x:8000", false},
		{"0.0.0.0:8000", ":8000", true},
		{"[::]:8000", ":8000", true},
		{"localhost:8000", "127.0.0.1:8000", true},
		{"127.0.0.1:8000", ":8000", false},
		{"unix:/run/x.sock", "unix:/run/x.sock", true},
		{"unix:/run/x.sock", "unix:/run/y.sock", false},
	} {
		if got := listensOn(c.want, c.label); got != c.ok {
			t.Errorf("listensOn(%q, %q) = %v", c.want, c.label, got)
		}
	}
}

func TestBindLabels(t *testing.T) {
	for _, c := range []struct{ argv, want []string }{
		{[]string{"gunicorn", "-b", "0.0.0.0:80", "--bind=unix:/run/x.sock", "shop:app"}, []string{":80", "unix:/run/x.sock"}},
		{[]string{"uwsgi", "--http-socket", ":8000", "--socket", "/run/u.sock"}, []string{":8000", "unix:/run/u.sock"}},
		{[]string{"uvicorn", "--host", "0.0.0.0", "--port", "9000"}, []string{":9000"}},
		{[]string{"uvicorn", "--port=9000"}, []string{"127.0.0.1:9000"}},
		{[]string{"gunicorn", "-b"}, []string{""}},
		{[]string{"gunicorn: master [shop]"}, nil},
	} {
		if got := bindLabels(c.argv); !slices.Equal(got, c.want) {
			t.Errorf("bindLabels(%q) = %q, want %q", c.argv, got, c.want)
		}
	}
}

func TestUnit(t *testing.T) {
	got := parseGroups([]byte("9:name=systemd:/system.slice/shop.service\n4:memory:/system.slice/shop.service\n1:cpu:/\n0::/user.slice/user-1000.slice/user@1000.service/init.scope\n"))
	if len(got) != 2 {
		t.Fatalf("groups %q", got)
	}
	if u := unitOf(got); u != "shop" {
		t.Errorf("unit %q", u)
	}
	if u := unitOf(got[1:]); u != "" {
		t.Errorf("a login's manager taken for a unit: %q", u)
	}
}
