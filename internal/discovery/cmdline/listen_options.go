package cmdline

import (
	"path"
	"strconv"
	"strings"
)

// ListensOn reports whether a listener's label is the one that a match names: the same, for
// ":80" any address with that port, for "0.0.0.0:80", "[::]:80" or "*:80" the label ":80",
// for localhost 127.0.0.1 or [::1]. A path must be the same.
func ListensOn(want, label string) bool {
	if want == label {
		return true
	}
	if strings.HasPrefix(want, "unix:") || strings.HasPrefix(label, "unix:") {
		return false
	}
	if strings.HasPrefix(want, ":") {
		return strings.HasSuffix(label, want)
	}
	for _, any4 := range []string{"0.0.0.0:", "[::]:", "*:"} {
		if port, ok := strings.CutPrefix(want, any4); ok {
			return label == ":"+port
		}
	}
	port, ok := strings.CutPrefix(want, "localhost:")
	return ok && (label == "127.0.0.1:"+port || label == "[::1]:"+port)
}

// BindLabels returns the listeners that a command line names, as labels, in its order, and last
// that of --host and --port (not of uWSGI); a port alone is on 127.0.0.1. They are used where
// descriptors may not be read. nil: none.
func BindLabels(argv []string) []string {
	if len(argv) < 2 {
		return nil
	}
	var out []string
	host, port := "127.0.0.1", ""
	for i, a := range argv[1:] {
		key, v, ok := cutOption(a)
		if !ok && i+2 < len(argv) {
			v = argv[i+2]
		}
		if v == "" {
			continue
		}
		switch key {
		case "-b", "--bind", "--http", "--http-socket", "--socket", "-s", "--uwsgi-socket", "--listen":
			out = append(out, normalBind(v))
		case "--uds":
			out = append(out, "unix:"+v)
		case "--host", "-h":
			host = v
		case "--port", "-p":
			if n, err := strconv.ParseUint(v, 10, 16); err == nil && n > 0 { // gunicorn's -p is a file
				port = v
			}
		}
	}
	if port != "" && !strings.HasPrefix(path.Base(argv[0]), "uwsgi") { // whose -p is a number of processes
		out = append(out, normalBind(host+":"+port))
	}
	return out
}

// cutOption returns the option of an argument and the value that is in it: "--key=v", "-k=v"
// or, if it has a colon, a slash or digits only, "-kv". false: there is none, and key is a.
func cutOption(a string) (key, v string, ok bool) {
	if len(a) > 2 && a[0] == '-' && a[1] != '-' && a[2] != '=' {
		if v := a[2:]; strings.ContainsAny(v, ":/") || strings.Trim(v, "0123456789") == "" {
			return a[:2], v, true
		}
		return a, "", false
	}
	return strings.Cut(a, "=")
}

// normalBind returns an address of a command line as a listener's label; other texts as s.
func normalBind(s string) string {
	switch {
	case strings.HasPrefix(s, "unix:"):
		return "unix:" + strings.TrimPrefix(strings.TrimPrefix(s, "unix:"), "//")
	case strings.HasPrefix(s, "/"):
		return "unix:" + s
	}
	for _, any4 := range []string{"0.0.0.0:", "[::]:", "*:"} {
		if port, ok := strings.CutPrefix(s, any4); ok {
			return ":" + port
		}
	}
	if port, ok := strings.CutPrefix(s, "localhost:"); ok {
		return "127.0.0.1:" + port
	}
	return s
}
