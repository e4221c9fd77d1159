package cmdline

import (
	"path"
	"strings"
)

// ModuleName returns the module of "module:callable", or s if it has no such form.
func ModuleName(s string) string {
	if module, ok := ApplicationModule(s); ok {
		return module
	}
	return s
}

// ApplicationModule returns the module of "module:callable"; ok is false for
// anything else.
func ApplicationModule(s string) (module string, ok bool) {
	if m := appSpec.FindStringSubmatch(s); m != nil {
		return m[1], true
	}
	return "", false
}

// Stem returns the name of a file without directory and extension; "" for none.
func Stem(p string) string {
	base := path.Base(p)
	if base == "." || base == "/" {
		return ""
	}
	return strings.TrimSuffix(base, path.Ext(base))
}
