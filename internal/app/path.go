package app

import "strings"

// prefixed returns a path below the route prefix.
func prefixed(prefix, path string) string {
	return strings.TrimRight("/"+strings.Trim(prefix, "/"), "/") + "/" + strings.TrimLeft(path, "/")
}
