package cmdline

import (
	"path"
	"strings"
)

// ModuleName cuts ":callable" off a module, and leaves any other name as it is.
func ModuleName(s string) string {
	if module, ok := ApplicationModule(s); ok {
		return module
	}
	return s
}

// ApplicationModule returns the module of "module:callable"; false: it is not of
// that form.
func ApplicationModule(s string) (module string, ok bool) {
	if m := appSpec.FindStringSubmatch(s); m != nil {
		return m[1], true
	}
	return "", false
}

// Stem returns a file's name without directory and ending; "" for no file.
func Stem(p string) string {
	base := path.Base(p)
	if base == "." || base == "/" {
		return ""
	}
	return strings.TrimSuffix(base, path.Ext(base))
}
