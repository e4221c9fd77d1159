package config

import (
	"regexp"

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
