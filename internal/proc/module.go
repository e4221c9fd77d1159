package proc

import (
	"path"
	"strings"
)

// moduleName cuts ":callable" off a module, and leaves any other name as it is.
func moduleName(s string) string {
	if module, ok := applicationModule(s); ok {
		return module
	}
	return s
}

// applicationModule returns the module of "module:callable"; false: it is not of
// that form.
func applicationModule(s string) (module string, ok bool) {
	if m := appSpec.FindStringSubmatch(s); m != nil {
		return m[1], true
	}
	return "", false
}

// stem returns a file's name without directory and ending; "" for no file.
func stem(p string) string {
	base := path.Base(p)
	if base == "." || base == "/" {
		return ""
	}
	return strings.TrimSuffix(base, path.Ext(base))
}
