package cmdline

import (
	"slices"
	"strings"
	"testing"
)

// The assignments of a gunicorn configuration file are read without running it.
func TestParsePython(t *testing.T) {
	for name, c := range map[string]struct{ src, want string }{
		"plain":                    {"proc_name = 'shop'\n", "shop"},
		"with a comment":           {"# names\nproc_name = \"shop\"  # not 'till'\n", "shop"},
		"raw, annotated":           {"proc_name: str = r'shop'\n", "shop"},
		"the last one counts":      {"proc_name='a'\nproc_name='b'\n", "b"},
		"two on a line":            {"workers = 4; proc_name = 'shop'; bind = ':80'\n", "shop"},
		"continued":                {"proc_name = \\\n  'shop'\n", "shop"},
		"without an end of line":   {"proc_name='shop'", "shop"},
		"in a doc string":          {"'''\nproc_name = 'wrong'\n'''\n", ""},
		"in a string of its own":   {"x = \"\"\"\nproc_name = 'wrong'\n\"\"\"\nproc_name = 'shop'\n", "shop"},
		"in a dict":                {"d = {\n'proc_name': 1,\n}\nproc_name = 'shop'\n", "shop"},
		"read elsewhere":           {"proc_name = 'shop'\nprint(proc_name)\n", "shop"},
		"computed":                 {"import os\nproc_name = os.environ['X']\n", ""},
		"computed afterwards":      {"proc_name = 'shop'\nproc_name += '-blue'\n", ""},
		"changed in a block":       {"proc_name = 'shop'\nif True:\n  proc_name = 'blue'\n", ""},
		"changed behind a colon":   {"proc_name = 'shop'\nif True: proc_name = 'blue'\n", ""},
		"changed in a function":    {"proc_name = 'shop'\ndef f():\n\tglobal proc_name\n\tproc_name = 'x'\n", ""},
		"as a loop's variable":     {"proc_name = 'shop'\nfor proc_name in 'ab': pass\n", ""},
		"imported":                 {"proc_name = 'shop'\nfrom x import proc_name\n", ""},
		"by a walrus":              {"proc_name = 'shop'\n(proc_name := 'x')\n", ""},
		"in a tuple":               {"proc_name, x = 'a', 'b'\n", ""},
		"in a chain":               {"x = proc_name = 'shop'\n", ""},
		"joined":                   {"proc_name = 'shop' '-blue'\n", ""},
		"added":                    {"proc_name = 'shop' + 'x'\n", ""},
		"an f-string":              {"proc_name = f'shop{1}'\n", ""},
		"bytes":                    {"proc_name = b'shop'\n", ""},
		"an escape":                {"proc_name = 'sh\\x6fp'\n", ""},
		"a number":                 {"proc_name = 7\n", ""},
		"another name":             {"default_proc_name = 'shop'\nxproc_name = 'b'\n", ""},
		"an attribute is no name":  {"cfg.proc_name = 'shop'\n", ""},
		"a string that has no end": {"proc_name = 'shop'\nx = '''\n", ""},
		"too long":                 {"proc_name = '" + strings.Repeat("x", 300) + "'\n", ""},
		"Windows' line ends":       {"x = 1\r\nproc_name = 'shop'\r\n", "shop"},
		"deleted":                  {"proc_name = 'shop'\ndel proc_name\n", ""},
	} {
		if got := ParsePython(c.src, "proc_name", "wsgi_app")["proc_name"]; got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	got := ParsePython("wsgi_app = 'shop:app'\nproc_name = 'till'\nbind = ':80'\n", "proc_name", "wsgi_app")
	if len(got) != 2 || got["wsgi_app"] != "shop:app" {
		t.Errorf("%v", got)
	}
}

func TestParseWords(t *testing.T) {
	for in, want := range map[string][]string{
		"--name=shop -w 4":             {"--name=shop", "-w", "4"},
		`-n "my shop" --bind ':80'`:    {"-n", "my shop", "--bind", ":80"},
		`-n my\ shop ''`:               {"-n", "my shop", ""},
		`-n "a\"b\c" x"y"z`:            {"-n", `a"b\c`, "xyz"},
		"  \t\n":                       nil,
		"--access-logformat '%(h)s' $": {"--access-logformat", "%(h)s", "$"},
	} {
		if got, ok := ParseWords(in); !ok || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v", in, got, ok)
		}
	}
	for _, in := range []string{`"`, `a 'b`, `\`} {
		if got, ok := ParseWords(in); ok {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestParseINI(t *testing.T) {
	text := "; a comment\nmodule = none\n[uwsgi]\nmaster = true\n module = shop:app \nmodule=till:app\nchdir = /srv/%n\nhome = $(HOME)\n# x\n[uwsgi:dev]\nwsgi-file = x.py\n[other]\nmodule = wrong\n"
	got := ParseINI(text, "", "blue")
	if len(got) != 3 || got["module"] != "till:app" || got["chdir"] != "/srv/blue" || got["master"] != "true" {
		t.Errorf("%v", got)
	}
	if got := ParseINI(text, "uwsgi:dev", "blue"); len(got) != 1 || got["wsgi-file"] != "x.py" {
		t.Errorf("%v", got)
	}
	if got := ParseINI("[uwsgi]\nmodule = a\nmodule = %(x)\n", "", "b"); len(got) != 0 {
		t.Errorf("a value that is computed: %v", got)
	}
}

func FuzzParsePython(f *testing.F) {
	f.Add("proc_name = 'shop'\n")
	f.Add("x = \"\"\"\n'''\"\"\"; proc_name='a'\n")
	f.Fuzz(func(t *testing.T, src string) {
		for name, v := range ParsePython(src, "proc_name", "wsgi_app") {
			if name != "proc_name" && name != "wsgi_app" || !strings.Contains(src, name) || !strings.Contains(src, v) || len(v) > maxSetting || strings.ContainsAny(v, "\\") {
				t.Errorf("%q gave %q = %q", src, name, v)
			}
		}
	})
}

func FuzzParseSettings(f *testing.F) {
	f.Add("-n 'my shop' --bind :80")
	f.Add("[uwsgi]\nmodule = shop:app\nchdir=%n\n")
	f.Fuzz(func(t *testing.T, s string) {
		if words, ok := ParseWords(s); ok {
			total := 0
			for _, w := range words {
				total += len(w)
			}
			if total > len(s) {
				t.Errorf("%q gave %q", s, words)
			}
		}
		for k, v := range ParseINI(s, "", "stem") {
			if k == "" || len(v) > maxSetting || strings.ContainsAny(v, "$@%\n") {
				t.Errorf("%q gave %q = %q", s, k, v)
			}
		}
	})
}
