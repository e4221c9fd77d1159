package proc

import (
	"os/user"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/cgroup"
	"github.com/resp-exporter/resp-exporter/internal/config"
)

// maxMatches is how many apps a configuration may name: one bit each.
const maxMatches = 64

// matcher is one configured match, ready to use. What can be told from a
// process alone (fixed) is judged once, when the process is read.
type matcher struct {
	name    string
	cmdline *regexp.Regexp
	uid     *uint32
	noUser  bool // the user does not exist: nothing matches
	unit    string
	cgroup  string
	pidFile *pidFile // nil: none
	listen  string   // the label of the listener, with a leading ":" it means every address
}

// newMatcher prepares a match; the configuration has been checked, so a
// regular expression that does not compile cannot come here and matches nothing.
func newMatcher(a config.App) matcher {
	m := matcher{name: a.Name, listen: a.Match.Listen, cgroup: strings.TrimRight(a.Match.Cgroup, "/")}
	if a.Match.Cmdline != "" {
		re, err := regexp.Compile(a.Match.Cmdline)
		m.cmdline, m.noUser = re, err != nil
	}
	if a.Match.PIDFile != "" {
		m.pidFile = &pidFile{path: a.Match.PIDFile}
	}
	if u := a.Match.SystemdUnit; u != "" {
		if !strings.Contains(u, ".") {
			u += ".service"
		}
		m.unit = u
	}
	if a.Match.User != "" {
		if id, ok := lookupUID(a.Match.User); ok {
			m.uid = &id
		} else {
			m.noUser = true
		}
	}
	return m
}

// LookupUID returns the number of a user by its name or number; false: there is
// none of that name.
func LookupUID(s string) (uint32, bool) { return lookupUID(s) }

func lookupUID(s string) (uint32, bool) {
	if n, err := strconv.ParseUint(s, 10, 32); err == nil {
		return uint32(n), true
	}
	u, err := user.Lookup(s)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(u.Uid, 10, 32)
	return uint32(n), err == nil
}

// maxLine bounds the bytes of a command line that a match is about: a regular
// expression costs by the byte, and any user can start processes with long ones.
const maxLine = 4 << 10

// commandLine returns the arguments joined by a space, at most maxLine bytes.
func commandLine(argv []string) string {
	var b strings.Builder
	for i, a := range argv {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(a[:min(len(a), maxLine)])
		if b.Len() >= maxLine {
			return b.String()[:maxLine]
		}
	}
	return b.String()
}

// fixed reports whether the parts that depend on the process alone hold. groups
// returns the paths of its control groups, user its real user id; each is
// called only if needed.
func (m *matcher) fixed(p *process, groups func() []string, user func() uint32) bool {
	if m.noUser || p.stat.kernel {
		return false
	}
	if m.uid != nil && p.uid != *m.uid && p.uid != 0 { // 0: it may be somebody's that is not dumpable
		return false
	}
	if m.cmdline != nil && !m.cmdline.MatchString(commandLine(p.argv)) {
		return false
	}
	if m.uid != nil && user() != *m.uid {
		return false
	}
	if m.unit == "" && m.cgroup == "" {
		return true
	}
	paths := groups()
	if m.unit != "" && !slices.ContainsFunc(paths, func(g string) bool { return slices.Contains(strings.Split(g, "/"), m.unit) }) {
		return false
	}
	return m.cgroup == "" || slices.ContainsFunc(paths, func(g string) bool {
		return g == m.cgroup || strings.HasPrefix(g, m.cgroup+"/")
	})
}

// alone reports whether nothing but a listener or a pid file picks the process.
func (m *matcher) alone() bool {
	return m.cmdline == nil && m.uid == nil && m.unit == "" && m.cgroup == ""
}

// listensOn reports whether a listener's label is the one that the match names:
// the same, or for ":8000" any address with that port.
func listensOn(want, label string) bool {
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

// parseGroups returns the paths in /proc/PID/cgroup, "hierarchy:controllers:path".
func parseGroups(b []byte) []string {
	var paths []string
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) == 3 && f[2] != "/" && !slices.Contains(paths, f[2]) {
			paths = append(paths, f[2])
		}
	}
	return paths
}

// unitOf finds the systemd service or scope that control-group paths lie in,
// without its ending.
func unitOf(paths []string) string {
	for _, g := range paths {
		if unit := cgroup.Unit(g); unit != "" {
			return unit[:strings.LastIndexByte(unit, '.')]
		}
	}
	return ""
}

// bindLabels returns the listeners that a command line asks for, in the form of
// a listener's label. It serves where the descriptors may not be read.
func bindLabels(argv []string) []string {
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
