// Package match picks which processes a configured app consists of: by command
// line, user, unit, control group, listener or pid file.
package match

import (
	"os/user"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
)

// MaxMatches is how many apps a configuration may name: each has one bit of
// table.Process.Match.
const MaxMatches = 64

// Matcher is one configured match, ready to use. What depends on a process alone
// is evaluated once, when the process is read.
type Matcher struct {
	Name    string
	cmdline *regexp.Regexp
	uid     *uint32
	noUser  bool // the user does not exist: nothing matches
	unit    string
	cgroup  string
	PIDFile *PIDFile // nil: none
	Listen  string   // the label of the listener, with a leading ":" it means every address
}

// NewMatcher returns the Matcher of a configured app. The configuration has been
// checked; a regular expression that does not compile, or a user that does not exist,
// matches nothing.
func NewMatcher(a config.App) Matcher {
	m := Matcher{Name: a.Name, Listen: a.Match.Listen, cgroup: strings.TrimRight(a.Match.Cgroup, "/")}
	if a.Match.Cmdline != "" {
		re, err := regexp.Compile(a.Match.Cmdline)
		m.cmdline, m.noUser = re, err != nil
	}
	if a.Match.PIDFile != "" {
		m.PIDFile = &PIDFile{path: a.Match.PIDFile}
	}
	if u := a.Match.SystemdUnit; u != "" {
		if !strings.Contains(u, ".") {
			u += ".service"
		}
		m.unit = u
	}
	if a.Match.User != "" {
		if id, ok := LookupUID(a.Match.User); ok {
			m.uid = &id
		} else {
			m.noUser = true
		}
	}
	return m
}

// LookupUID returns the id of a user by name, or a number as it is, whether there is such a
// user or not; false: there is no user of that name, or the number has more than 32 bits.
func LookupUID(s string) (uint32, bool) {
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

// MatchesProcess reports whether the parts of a match hold that depend on the
// process alone; true if it has none, false for a thread of the kernel. groups returns
// the paths of its control groups, user its real user id; each is called only if needed.
// A user of the match must be its real one and, unless that is root, its effective one too.
func (m *Matcher) MatchesProcess(p *table.Process, groups func() []string, user func() uint32) bool {
	if m.noUser || p.Stat.Kernel {
		return false
	}
	if m.uid != nil && p.UID != *m.uid && p.UID != 0 { // 0: it may be another user's that is not dumpable
		return false
	}
	if m.cmdline != nil && !m.cmdline.MatchString(cmdline.CommandLine(p.Argv)) {
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

// OnlyListener reports whether the match consists of a listener or a pid file only, or of
// these and parts that match nothing, see NewMatcher.
func (m *Matcher) OnlyListener() bool {
	return m.cmdline == nil && m.uid == nil && m.unit == "" && m.cgroup == ""
}

// StuckAges returns from which age of a request on its worker counts as stuck, by the
// app's name. It has only the apps with a critical response time of their own.
func StuckAges(apps []config.App) map[string]time.Duration {
	out := make(map[string]time.Duration)
	for _, a := range apps {
		if own := a.Thresholds["response_time"].Critical; own.Given && !own.Off {
			out[a.Name] = time.Duration(own.Value * float64(time.Second))
		}
	}
	return out
}
