package cmdline

import (
	"maps"
	"slices"
	"strings"
)

// maxSetting is how many bytes a value in settings may have.
const maxSetting = 256

// ParseWords splits a string into words as Python's shlex.split does: as a POSIX shell without any
// expansion, operator or comment, but in double quotes a backslash escapes only itself and the
// quote. ok is false if a quotation does not end, or nothing follows a backslash.
func ParseWords(s string) (words []string, ok bool) {
	for {
		s = strings.TrimLeft(s, blanks)
		if s == "" {
			return words, true
		}
		word, rest, ok := parseWord(s)
		if !ok {
			return nil, false
		}
		words, s = append(words, word), rest
	}
}

const blanks = " \t\r\n"

// parseWord returns the word at the start of s and the rest; ok is false if a quotation
// does not end, or nothing follows a backslash.
func parseWord(s string) (word, rest string, ok bool) {
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote == 0 && strings.IndexByte(blanks, c) >= 0:
			return b.String(), s[i:], true
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && quote != '\'':
			if i++; i == len(s) {
				return "", "", false
			}
			if quote == '"' && s[i] != '"' && s[i] != '\\' {
				b.WriteByte('\\')
			}
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), "", quote == 0
}

// ParseINI returns the last value of each key in a section, "uwsgi" by default, of a
// configuration file of uWSGI; lines after the 512th key are ignored. A key whose last value
// has more than 256 bytes, a zero byte, or a %, $ or @ is left out, as it would have to be
// computed; %n alone is replaced by stem.
func ParseINI(text, section, stem string) map[string]string {
	if section == "" {
		section = "uwsgi"
	}
	out := make(map[string]string)
	in := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == ';' || line[0] == '#':
			continue
		case line[0] == '[':
			in = strings.TrimSpace(strings.Trim(line, "[]")) == section
			continue
		case !in:
			continue
		}
		key, v, ok := strings.Cut(line, "=")
		key, v = strings.TrimSpace(key), strings.ReplaceAll(strings.TrimSpace(v), "%n", stem)
		if !ok || key == "" || len(out) >= 512 {
			continue
		}
		if len(v) > maxSetting || strings.ContainsAny(v, "%$@\x00") {
			delete(out, key)
			continue
		}
		out[key] = v
	}
	return out
}

// pyToken is one token of a Python source.
type pyToken struct {
	kind byte   // n name, s string, o operator, l end of a line of code
	text string // of a name or an operator; the value of a string
	ok   bool   // the string is plain: its value is known without Python
}

// ParsePython returns the last value of those of names to which a Python source assigns a
// plain string of at most 256 bytes at its top level: "proc_name = 'shop'". Nothing is
// run. A name that is assigned in a block, or anything but a plain string, is left out,
// as its value would depend on what runs; so are all if a string does not end.
func ParsePython(src string, names ...string) map[string]string {
	out := make(map[string]string)
	spoilt := make(map[string]bool)
	x := pyScanner{src: src, fresh: true}
	for more := true; more; {
		var line []pyToken
		var indented bool
		line, indented, more = x.line()
		if name, value, plain := plainAssignment(line); plain && !indented {
			if slices.Contains(names, name) {
				out[name] = value
			}
			continue
		}
		for i, t := range line {
			if t.kind == 'n' && slices.Contains(names, t.text) && !readOnly(line, i) {
				spoilt[t.text] = true
			}
		}
	}
	maps.DeleteFunc(out, func(name, _ string) bool { return spoilt[name] || x.torn })
	return out
}

// line returns the tokens of the next line of code, and whether it is indented; more is
// false for the last one.
func (x *pyScanner) line() (line []pyToken, indented, more bool) {
	for {
		t, more := x.next()
		if !more || t.kind == 'l' {
			return line, indented, more
		}
		if len(line) == 0 {
			indented = x.indent
		}
		line = append(line, t)
	}
}

// plainAssignment returns the name and the value of NAME = 'string' or NAME: str
// = 'string'; ok is false for any other line, and for a string whose value is not known.
func plainAssignment(line []pyToken) (name, value string, ok bool) {
	if len(line) == 5 && line[1].text == ":" && line[1].kind == 'o' && line[2].kind == 'n' {
		line = []pyToken{line[0], line[3], line[4]}
	}
	if len(line) != 3 || line[0].kind != 'n' || line[1].kind != 'o' || line[1].text != "=" || line[2].kind != 's' || !line[2].ok {
		return "", "", false
	}
	return line[0].text, line[2].text, true
}

// readOnly reports whether the name at index i of a line is only read: nothing behind it
// in the line assigns, and no word before it binds it. Keyword arguments and comparisons with
// "=" in them (==, <=) count as assignments, which is on the safe side.
func readOnly(line []pyToken, i int) bool {
	for _, t := range line[:i] {
		if t.kind == 'n' {
			switch t.text {
			case "global", "nonlocal", "del", "for", "import", "as", "def", "class", "with":
				return false
			}
		}
	}
	for _, t := range line[i+1:] {
		if t.kind == 'o' && strings.HasSuffix(t.text, "=") {
			return false
		}
	}
	return true
}

// pyScanner splits a Python source into tokens.
type pyScanner struct {
	src    string
	pos    int
	depth  int  // of brackets
	fresh  bool // at the start of a line of code
	indent bool // the line of code is indented
	torn   bool // a string does not end
}

// next returns the next token; more is false at the end.
func (x *pyScanner) next() (t pyToken, more bool) {
	for x.pos < len(x.src) {
		c := x.src[x.pos]
		switch {
		case c == '\n' || c == ';' && x.depth == 0:
			x.pos++
			if x.depth == 0 {
				x.fresh = c == '\n' // behind a semicolon the next statement stands where this one does
				return pyToken{kind: 'l'}, true
			}
		case c == ' ' || c == '\t' || c == '\r' || c == '\f':
			x.begin(true)
			x.pos++
		case c == '#':
			x.skip(func(c byte) bool { return c != '\n' })
		case c == '\\':
			x.pos++
			x.skip(func(c byte) bool { return c == '\r' || c == '\n' })
		default:
			x.begin(false)
			return x.token(), true
		}
	}
	return pyToken{}, false
}

// begin records at the first token of a logical line whether the line is indented.
func (x *pyScanner) begin(indented bool) {
	if x.fresh && x.depth == 0 {
		x.fresh, x.indent = false, indented
	}
}

// skip moves on as long as while holds.
func (x *pyScanner) skip(while func(byte) bool) {
	for x.pos < len(x.src) && while(x.src[x.pos]) {
		x.pos++
	}
}

// nameByte reports whether a byte may be part of a Python name.
func nameByte(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80
}

// token returns the name, the string with its prefix or the operator at the current
// position, and moves behind it.
func (x *pyScanner) token() pyToken {
	from := x.pos
	for x.pos < len(x.src) && nameByte(x.src[x.pos]) {
		x.pos++
	}
	word := x.src[from:x.pos]
	if x.pos < len(x.src) && (x.src[x.pos] == '"' || x.src[x.pos] == '\'') && len(word) <= 2 {
		return x.text(word)
	}
	if word != "" {
		return pyToken{kind: 'n', text: word}
	}
	c := x.src[x.pos]
	x.pos++
	switch c {
	case '(', '[', '{':
		x.depth++
	case ')', ']', '}':
		x.depth = max(0, x.depth-1)
	}
	if strings.IndexByte("=!<>+-*/%&|^:@", c) >= 0 {
		x.skip(func(c byte) bool { return strings.IndexByte("=<>*/", c) >= 0 })
	}
	return pyToken{kind: 'o', text: x.src[from:x.pos]}
}

// text returns a string literal and moves behind it. Its value is known if it has no prefix
// but r and u, no escape, and at most 256 bytes. One that does not end sets x.torn.
func (x *pyScanner) text(prefix string) pyToken {
	quote := x.src[x.pos : x.pos+1]
	if strings.HasPrefix(x.src[x.pos:], strings.Repeat(quote, 3)) {
		quote = strings.Repeat(quote, 3)
	}
	x.pos += len(quote)
	from := x.pos
	escaped := false
	for x.pos < len(x.src) {
		switch {
		case x.src[x.pos] == '\\':
			escaped = true
			x.pos++
		case strings.HasPrefix(x.src[x.pos:], quote):
			value := x.src[from:x.pos]
			x.pos += len(quote)
			plain := !escaped && len(value) <= maxSetting && (prefix == "" || strings.EqualFold(prefix, "r") || strings.EqualFold(prefix, "u"))
			return pyToken{kind: 's', text: value, ok: plain}
		case x.src[x.pos] == '\n' && len(quote) == 1:
			x.torn = true
			return pyToken{kind: 's'}
		}
		x.pos++
	}
	x.pos = min(x.pos, len(x.src))
	x.torn = true
	return pyToken{kind: 's'}
}
