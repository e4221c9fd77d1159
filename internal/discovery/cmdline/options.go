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

// Option returns the last value of an option of a command line, written "-k v", "-kv", "-k=v",
// "--key v" or "--key=v"; "" if it is not set, or the last word.
func Option(args []string, names ...string) string {
	if all := Options(args, names...); len(all) > 0 {
		return all[len(all)-1]
	}
	return ""
}

// Options returns all values of an option of a command line, in their order, see [Option].
func Options(args []string, names ...string) (values []string) {
	for i, a := range args {
		for _, n := range names {
			short := !strings.HasPrefix(n, "--") && !strings.HasPrefix(a, "--")
			if a == n && i+1 < len(args) {
				values = append(values, args[i+1])
			} else if v, ok := strings.CutPrefix(a, n+"="); ok {
				values = append(values, v)
			} else if v, ok := strings.CutPrefix(a, n); ok && v != "" && short {
				values = append(values, v)
			}
		}
	}
	return values
}

// lastOption returns the last value of "--key v", "--key=v" or "-k v"; "" for none.
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
