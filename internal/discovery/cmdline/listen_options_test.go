package cmdline

import (
	"slices"
	"strings"
	"testing"
)

// A command line is matched up to a limit, so that long ones of other users cost no more.
func TestCommandLine(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	for name, c := range map[string]struct {
		argv []string
		want string
	}{
		"none":           {nil, ""},
		"some":           {[]string{"gunicorn", "-w", "4", "shop:app"}, "gunicorn -w 4 shop:app"},
		"empty ones":     {[]string{"a", "", "b"}, "a  b"},
		"a long one":     {[]string{"gunicorn", long}, ("gunicorn " + long)[:MaxLine]},
		"behind a long":  {[]string{long, "gunicorn"}, long[:MaxLine]},
		"just the bound": {[]string{long[:MaxLine-2], "b"}, long[:MaxLine-2] + " b"},
	} {
		if got := CommandLine(c.argv); got != c.want {
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
		if got := ListensOn(c.want, c.label); got != c.ok {
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
		{[]string{"gunicorn", "-b"}, nil},
		{[]string{"gunicorn", "--bind="}, nil},
		{[]string{"gunicorn", "-b0.0.0.0:8000", "-bunix:/run/a=b.sock", "shop:app"}, []string{":8000", "unix:/run/a=b.sock"}},
		{[]string{"gunicorn", "-b=:8000", "-p", "/run/shop.pid"}, []string{":8000"}},
		{[]string{"/usr/bin/uwsgi", "-s/run/u.sock", "-p", "4"}, []string{"unix:/run/u.sock"}},
		{[]string{"flask", "run", "-p8000"}, []string{"127.0.0.1:8000"}},
		{[]string{"flask", "run", "-h", "0.0.0.0", "-p", "8000"}, []string{":8000"}},
		{[]string{"java", "-server", "-port", "-p", "70000"}, nil},
		{[]string{"gunicorn: master [shop]"}, nil},
	} {
		if got := BindLabels(c.argv); !slices.Equal(got, c.want) {
			t.Errorf("bindLabels(%q) = %q, want %q", c.argv, got, c.want)
		}
	}
}
