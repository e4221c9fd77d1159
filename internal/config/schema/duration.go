package schema

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// days matches the weeks and days of a duration, which package time does not
// know, bounded so that they cannot overflow.
var days = regexp.MustCompile(`^(?:([0-9]{1,3})w)?(?:([0-9]{1,4})d)?(.*)$`)

var errDuration = errors.New("expected a duration such as 30s")

// ParseDuration returns what [time.ParseDuration] returns, and accepts before that whole weeks
// of up to three digits and days of up to four, without a sign: "30s", "1h30m", "1d", "2w3d12h".
func ParseDuration(s string) (time.Duration, error) {
	m := days.FindStringSubmatch(s)
	if m == nil {
		return 0, errDuration
	}
	weeks, rest := m[1], m[3]
	if weeks == "" && m[2] == "" {
		return wrapDuration(time.ParseDuration(s))
	}
	total := time.Duration(7*atoi(weeks)+atoi(m[2])) * 24 * time.Hour
	if rest == "" {
		return total, nil
	}
	clock, err := wrapDuration(time.ParseDuration(rest))
	if err != nil {
		return 0, err
	}
	if strings.ContainsAny(rest, "+-") || total+clock < total {
		return 0, errDuration
	}
	return total + clock, nil
}

// wrapDuration returns v, or an error that wraps errDuration and err.
func wrapDuration(v time.Duration, err error) (time.Duration, error) {
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errDuration, err)
	}
	return v, nil
}

// atoi returns the number that up to four digits are; "" is 0.
func atoi(s string) int {
	n := 0
	for _, r := range s {
		n = 10*n + int(r-'0')
	}
	return n
}
