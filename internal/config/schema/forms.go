package schema

import "strings"

// IsAbsolute reports whether s is an absolute path of anything but the root, without a zero
// byte. It is not cleaned: "/.." is one.
func IsAbsolute(s string) bool {
	return strings.HasPrefix(s, "/") && strings.Trim(s, "/") != "" && !strings.Contains(s, "\x00")
}

// RegexpFault returns on one line what a regular expression's error says, with the part
// of the expression that is wrong.
func RegexpFault(err error) string {
	return OneLine(strings.TrimPrefix(err.Error(), "error parsing regexp: "))
}

// HasControl reports whether s has a control character of ASCII, such as a line break.
func HasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
