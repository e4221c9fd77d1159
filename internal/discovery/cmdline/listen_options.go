package cmdline

import "strings"

// ListensOn reports whether a listener's label is the one that a match names: the
// same, or for ":8000" any address with that port.
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

// BindLabels returns the listeners that a command line names, as a listener's
// labels. It is used where descriptors may not be read.
func BindLabels(argv []string) []string {
	if len(argv) < 2 {
		return nil
	}
	var out []string
	host, port := "127.0.0.1", ""
	for i, a := range argv[1:] {
		key, v, ok := strings.Cut(a, "=")
		if !ok && i+2 < len(argv) {
			v = argv[i+2]
		}
		switch key {
		case "-b", "--bind", "--http", "--http-socket", "--socket", "-s", "--uwsgi-socket", "--listen":
			out = append(out, normalBind(v))
		case "--uds":
			out = append(out, "unix:"+v)
		case "--host", "-h":
			host = v
		case "--port", "-p":
			port = v
		}
	}
	if port != "" {
		out = append(out, normalBind(host+":"+port))
	}
	return out
}

// normalBind returns an address of a command line as a listener's label.
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
