package config

import (
	"regexp"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/config/schema"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

var (
	appName  = regexp.MustCompile(`^[A-Za-z0-9._:@/-]+$`)
	unitName = regexp.MustCompile(`^[A-Za-z0-9:_.\\@-]+$`)
	userName = regexp.MustCompile(`^[^\s:/,\x00-\x20-][^\s:/,\x00-\x20]*$`)
)

func isAppName(s string) bool  { return text.Matches(appName, s, 64) }
func isUnitName(s string) bool { return text.Matches(unitName, s, 255) }
func isUserName(s string) bool { return text.Matches(userName, s, 256) }

// isAbsolute reports whether s is an absolute path of anything but the root.
func isAbsolute(s string) bool {
	return strings.HasPrefix(s, "/") && strings.Trim(s, "/") != "" && !strings.Contains(s, "\x00")
}

// regexpFault returns the parser's own reason without its prefix, with the part of
// the expression that is wrong.
func regexpFault(err error) string {
	return schema.OneLine(strings.TrimPrefix(err.Error(), "error parsing regexp: "))
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
