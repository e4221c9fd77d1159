package cmdline

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestPythonTarget(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                    "0||",
		"app.py -x":                           "s|app.py|-x",
		"-":                                   "c||",
		"- a.py b":                            "c||a.py b",
		"-c code a":                           "c|code|a",
		"-ccode a":                            "c|code|a",
		"-m mod a -b":                         "m|mod|a -b",
		"-mmod a":                             "m|mod|a",
		"-um mod":                             "m|mod|",
		"-uBm mod x":                          "m|mod|x",
		"-m":                                  "0||",
		"-u":                                  "0||",
		"-W ignore app.py":                    "s|app.py|",
		"-Wignore app.py":                     "s|app.py|",
		"-X dev -m mod":                       "m|mod|",
		"-X":                                  "0||",
		"--check-hash-based-pycs always a.py": "s|a.py|",
		"--check-hash-based-pycs":             "0||",
		"--version a.py":                      "s|a.py|",
		"-u -B -s app.py":                     "s|app.py|",
	} {
		kind, target, rest := pythonTarget(strings.Fields(in))
		k := "0"
		if kind != 0 {
			k = string(kind)
		}
		if got := k + "|" + target + "|" + strings.Join(rest, " "); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestNamesOfFiles(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"app.py": "app", "/srv/shop/app.py": "app", "shop": "shop", "/srv/shop/__main__.py": "shop", "shop/__main__.py": "shop", "__main__.py": "__main__", "/__main__.py": "__main__", "./__main__.py": "__main__",
	} {
		if got := scriptName(in); got != want {
			t.Errorf("script %q: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"": "", "/": "", ".": "", "a.py": "a", "/x/a.ini": "a", "a": "a", "a.b.c": "a.b", "/x/": "x"} {
		if got := Stem(in); got != want {
			t.Errorf("stem of %q: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"a.ini": "a.ini", "a.ini:prod": "a.ini", "a.ini:": "a.ini", ":prod": ":prod", "/x:y/a.ini": "/x:y/a.ini", "/x:y/a.ini:p": "/x:y/a.ini", "": ""} {
		if got := WithoutSection(in); got != want {
			t.Errorf("%q without its section: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"shop:app": "shop", "shop.wsgi:create()": "shop.wsgi", "dir/shop.py": "shop", "shop.py": "shop", "shop.wsgi": "shop", "dir/shop": "shop", "shop": "shop", "a.b": "a.b"} {
		if got := moduleOrFile(in); got != want {
			t.Errorf("module or file %q: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"": "", "shop": "shop", "shop:create_app()": "shop", "src/shop.py": "shop", "shop.py:app": "shop"} {
		if got := FlaskName(in); got != want {
			t.Errorf("Flask's %q: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"unix:/run/s": "unix:/run/s", "unix:///run/s": "unix:/run/s", "/run/s": "unix:/run/s", "0.0.0.0:80": ":80", "[::]:80": ":80", "*:80": ":80", "localhost:80": "127.0.0.1:80", "10.0.0.1:80": "10.0.0.1:80",
	} {
		if got := normalBind(in); got != want {
			t.Errorf("bind %q: %q, want %q", in, got, want)
		}
	}
}

// Each name that says nothing of an app is known, in any case.
func TestGenericStem(t *testing.T) {
	t.Parallel()
	names := "uwsgi wsgi asgi default app apps application conf config configuration site server service web www main prod production dev devel development stage staging test testing local docker settings base common vassal emperor deploy run index http"
	for name := range strings.FieldsSeq(names) {
		if !GenericStem(name) || !GenericStem(strings.ToUpper(name)) {
			t.Errorf("%s names an app", name)
		}
	}
	if !GenericStem("") || GenericStem("shop") || GenericStem("app2") {
		t.Error("the empty name, shop or app2")
	}
}

// The value of each known option is no application, and of an unknown one it may be.
func TestModuleArg(t *testing.T) {
	t.Parallel()
	for option := range strings.FieldsSeq("--bind --config --env --env-file --host --http --log-config --logger-class --loop --name --paste --statsd-host --worker-class --worker-connections --app-dir --interface --user --group") {
		if got := moduleArg([]string{option, "shop:app"}); got != "" {
			t.Errorf("%s names the app %q", option, got)
		}
	}
	for _, option := range switches() {
		if got := moduleArg([]string{option, "shop:app"}); got != "shop" || takesNext(option, "shop:app") {
			t.Errorf("behind the switch %s: %q", option, got)
		}
	}
	for of := range strings.FieldsSeq("unix fd file python egg http https tcp udp localhost") {
		if got := moduleArg([]string{"--unheard", of + ":app"}); got != "" || !scheme(of+":x") {
			t.Errorf("%s:app names the app %q", of, got)
		}
	}
	for in, want := range map[string]string{
		"shop:app": "shop", "shop.wsgi": "shop.wsgi", "shop": "shop", "a.b c:d": "c", "a.b c.d": "a.b", "--unheard shop:app": "shop", "--unheard shop:app a.b": "a.b", "--unheard x:a --other y:b": "x",
		"-w 4 shop:app": "shop", "-D shop:app": "shop", "-Dw 4 shop:app": "shop", "-b x:y": "", "--no-reload shop:app": "shop", "--unheard=1 shop:app": "shop", "-- shop:app": "shop", "- shop:app": "shop",
		"--unheard": "", "--unheard -x shop:app": "", "-b - shop:app": "shop", "": "", strings.Repeat("x", MaxLine+1): "",
	} {
		if got := moduleArg(strings.Fields(in)); got != want {
			t.Errorf("%.40q: %q, want %q", in, got, want)
		}
	}
}

func TestUWSGICommandLine(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"--ini a.ini": "a.ini", "--ini=a.ini": "a.ini", "--ini": "", "--yaml a --yml b --xml c --json d": "a b c d", "a.ini b.yaml c.yml d.xml e.json": "a.ini b.yaml c.yml d.xml e.json",
		"a.ini:prod": "a.ini:prod", "a.txt": "", "-a.ini": "", "--logto x.ini b.ini": "b.ini", "--logto=x.ini b.ini": "b.ini", "--daemonize x.ini": "", "--pidfile x.ini": "", "--touch-reload x.ini y.ini": "y.ini", "--ini=": "", "--ini= b.ini": "b.ini",
	} {
		if got := strings.Join(UWSGIFiles(strings.Fields(in)), " "); got != want {
			t.Errorf("files of %q: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"--module shop:app": "shop uwsgi", "--wsgi shop": "shop uwsgi", "-w shop:app": "shop uwsgi", "--mount /=shop:app": "shop uwsgi", "--mount /=dir/shop.py": "shop uwsgi", "--mount x": " uwsgi", "--mount /=": " uwsgi",
		"--wsgi-file /srv/shop.py": "shop uwsgi", "--file /srv/shop.py": "shop uwsgi", "--ini shop.ini": "shop uwsgi", "--ini a.ini --ini shop.ini": "shop uwsgi", "--ini shop.ini --ini app.ini": "shop uwsgi",
		"--ini app.ini": " app", "--ini web.ini --ini app.ini": " app", "--ini app.ini shop.py": "shop uwsgi", "shop.py": "shop uwsgi", "": " uwsgi", "--http :80": " uwsgi", "--ini uwsgi.ini --ini app.ini": " app", "--ini app.ini --ini uwsgi.ini": " app",
		"--module a --wsgi-file b.py": "a uwsgi", "--ini /": " uwsgi",
	} {
		name, script := uwsgiName(strings.Fields(in))
		if got := name + " " + script; got != want {
			t.Errorf("name of %q: %q, want %q", in, got, want)
		}
	}
	for option := range strings.FieldsSeq("-w -s --module --wsgi --mount --wsgi-file --socket --http --http-socket --uwsgi-socket") {
		if emperor([]string{"--emperor", "/etc/vassals", option, "x"}) || emperor([]string{option + "=x", "--emperor", "/etc/vassals"}) {
			t.Errorf("an emperor with %s serves nothing", option)
		}
	}
	if !emperor(strings.Fields("--master --emperor /etc/vassals")) || emperor(strings.Fields("--master")) {
		t.Error("an emperor alone, or none")
	}
}

func TestThreadsOf(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int{"": 7, "--threads 4": 4, "--threads=4": 4, "--threads 0": 7, "--threads 1": 1, "--threads -1": 7, "--threads x": 7, "--threads 65536": 65536, "--threads 65537": 7} {
		if got := threadsOf(strings.Fields(in), 7); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
}

// What the command line said stays where a title of the same server says less.
func TestKeepClass(t *testing.T) {
	t.Parallel()
	before := Program{Server: Gunicorn, Class: "gthread", Threads: 4, Name: "shop:blue"}
	for name, c := range map[string]struct {
		id   Program
		argv []string
		want string
	}{
		"a title":                 {Program{Server: Gunicorn, Title: true, Name: "shop"}, []string{"gunicorn: master [shop:blue]"}, "gthread 4 shop:blue"},
		"a title with blanks":     {Program{Server: Gunicorn, Title: true, Name: "shop"}, []string{"gunicorn: master [shop:blue]  "}, "gthread 4 shop:blue"},
		"a title of another name": {Program{Server: Gunicorn, Title: true, Name: "till"}, []string{"gunicorn: master [till]"}, "gthread 4 till"},
		"a title without a name":  {Program{Server: Gunicorn, Title: true}, []string{"gunicorn: master"}, "gthread 4 shop:blue"},
		"a title, no arguments":   {Program{Server: Gunicorn, Title: true, Name: "shop"}, nil, "gthread 4 shop"},
		"it says the class":       {Program{Server: Gunicorn, Title: true, Name: "x", Class: "sync", Threads: 1}, nil, "sync 1 x"},
		"no title":                {Program{Server: Gunicorn}, nil, " 0 "},
		"another server":          {Program{Server: UWSGI, Title: true}, nil, " 0 "},
	} {
		got := KeepClass(c.id, before, c.argv)
		if s := fmt.Sprint(got.Class, " ", got.Threads, " ", got.Name); s != c.want {
			t.Errorf("%s: %q, want %q", name, s, c.want)
		}
	}
}

func TestCeleryCommandLines(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"celery worker": "celery", "celery -A shop worker": "celery", "celery --app shop worker -Q a,b": "a b", "celery -b redis:// worker": "celery", "celery --broker x worker": "celery", "celery --result-backend x worker": "celery",
		"celery --loader x worker": "celery", "celery --config x worker": "celery", "celery --workdir x worker": "celery", "celery --app=shop worker": "celery", "celery -q worker": "celery", "celery beat": "none", "celery -A shop beat": "none",
		"celery -A worker": "none", "celery": "none", "": "none", "python -m celery worker": "celery", "python -m celery": "none", "python -u -m celery -A shop worker": "celery", "python -W ignore -m celery worker": "celery", "python -X dev /usr/bin/celery worker": "celery",
		"python /usr/bin/celery worker -Q mail": "mail", "python -m shop worker": "none", "python -c x": "none", "python app.py worker": "none", "python": "none", "bash celery worker": "none",
		"celery worker -Q a,b,a, -X b": "a", "celery worker --queues=a,b,c --exclude-queues a,c": "b", "celery worker -Q ,": "",
	} {
		c := ParseCelery(strings.Fields(in))
		got := "none"
		if c != nil {
			got = strings.Join(c.Queues, " ")
			if c.Child || c.Beat {
				t.Errorf("%q is a child", in)
			}
		}
		if got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	var many []string
	for i := range maxCeleryQueues + 5 {
		many = append(many, fmt.Sprint("q", i))
	}
	if c := ParseCelery([]string{"celery", "worker", "-Q", strings.Join(many, ",")}); c == nil || !slices.Equal(c.Queues, many[:maxCeleryQueues]) {
		t.Errorf("of %d queues: %+v", len(many), c)
	}
}

// All keys of a section are read, and nothing that is not a key.
func TestParseINIWhole(t *testing.T) {
	t.Parallel()
	const text = "before = 1\n[other]\nmodule = no\n[ uwsgi ]\n; note = 1\n# mark = 2\n\n  module =  shop:app \nname=%n-x\nwithout\n= none\nhttp = :80\nhttp = :81\nsecret = %d\nport = $(PORT)\nat = a@b\nempty =\n[other]\nlast = 1\n"
	for section, want := range map[string]map[string]string{
		"":        {"module": "shop:app", "name": "till-x", "http": ":81", "empty": ""},
		"uwsgi":   {"module": "shop:app", "name": "till-x", "http": ":81", "empty": ""},
		"other":   {"module": "no", "last": "1"},
		"nothing": {},
	} {
		if got := ParseINI(text, section, "till"); !maps.Equal(got, want) {
			t.Errorf("[%s]: %v, want %v", section, got, want)
		}
	}
	for n, kept := range map[int]bool{maxSetting: true, maxSetting + 1: false} {
		got := ParseINI("[uwsgi]\na = 1\na = "+strings.Repeat("x", n)+"\n", "", "")
		if (len(got["a"]) == n) != kept || !kept && len(got) != 0 {
			t.Errorf("a value of %d bytes: %d kept", n, len(got["a"]))
		}
	}
	var long strings.Builder
	long.WriteString("[uwsgi]\n")
	for i := range 600 {
		fmt.Fprintf(&long, "k%d = %d\n", i, i)
	}
	if got := ParseINI(long.String(), "", ""); len(got) != 512 || got["k511"] != "511" {
		t.Errorf("%d keys of 600", len(got))
	}
}

func TestParseWordsWhole(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", " ": "", "a b": "a|b", "a\tb\r\nc": "a|b|c", `"a b" c`: "a b|c", `'a b'c`: "a bc", `a\ b`: "a b", `"a\"b"`: `a"b`, `"a\\b"`: `a\b`, `"a\nb"`: `a\nb`, `'a\'`: `a\`, `''`: "", `"" x`: "|x",
		`"a`: "error", `'a`: "error", `a\`: "error", `"a\`: "error",
	} {
		words, ok := ParseWords(in)
		got := strings.Join(words, "|")
		if !ok {
			got = "error"
		}
		if got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
