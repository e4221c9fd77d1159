package cmdline

import "strings"

// MaxLine is how many bytes of a command line a match is about: a regular
// expression costs by the byte, and any user can start processes with long ones.
const MaxLine = 4 << 10

// CommandLine returns the arguments joined by a space, at most MaxLine bytes.
func CommandLine(argv []string) string {
	var b strings.Builder
	for i, a := range argv {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(a[:min(len(a), MaxLine)])
		if b.Len() >= MaxLine {
			return b.String()[:MaxLine]
		}
	}
	return b.String()
}

// Option returns the value of an option of a command line, written "-k v", "-kv",
// "--key v" or "--key=v"; "" if it is not set.
func Option(args []string, names ...string) string {
	for i, a := range args {
		for _, n := range names {
			if a == n && i+1 < len(args) {
				return args[i+1]
			}
			if v, ok := strings.CutPrefix(a, n+"="); ok && strings.HasPrefix(n, "--") {
				return v
			}
			if v, ok := strings.CutPrefix(a, n); ok && v != "" && !strings.HasPrefix(n, "--") && !strings.HasPrefix(a, "--") {
				return v
			}
		}
	}
	return ""
}

// lastOption returns the last value of "--key v" or "--key=v"; "" for none.
func lastOption(args []string, names ...string) string {
	value := ""
	for i, a := range args {
		for _, n := range names {
			if a == n && i+1 < len(args) {
				value = args[i+1]
			} else if v, ok := strings.CutPrefix(a, n+"="); ok && strings.HasPrefix(n, "--") {
				value = v
			}
		}
	}
	return value
}
