package killlongqueries

import "strings"

// PlainSelect reports whether a statement of MySQL or MariaDB is a SELECT that locks no rows
// (FOR UPDATE or SHARE, LOCK IN SHARE MODE), has no INTO, and is not inside of a stored program
// (NAME_CONST); functions that it calls are not examined. It is false for what cannot be read
// with certainty, such as comments that a server executes, and for a SELECT after WITH.
func PlainSelect(text string) bool {
	if !plainSelect(text, true) {
		return false
	}
	// Whether a backslash escapes in a string depends on the session. It must
	// make no difference.
	return !strings.Contains(text, `\`) || plainSelect(text, false)
}

// plainSelect reports whether a text is one statement that begins with SELECT, or "(" before it,
// without the words INTO, NAME_CONST, FOR UPDATE, FOR SHARE and LOCK IN, and without a part that
// is not understood; false for one with WITH. escapes: a backslash escapes in strings.
func plainSelect(text string, escapes bool) bool {
	l := sqlLexer{rest: text, escapes: escapes}
	first := ""
	for first == "" || first == "(" {
		if first = l.next(); first == "" {
			return false
		}
	}
	if first != "SELECT" {
		return false
	}
	before := first
	for {
		word := l.next()
		switch {
		case l.odd:
			return false
		case word == "":
			return true
		case before == ";":
			return false // another statement follows
		case word == "INTO", word == "NAME_CONST",
			before == "FOR" && (word == "UPDATE" || word == "SHARE"), before == "LOCK" && word == "IN":
			return false
		}
		before = word
	}
}

// sqlLexer splits SQL into words, strings and comments.
type sqlLexer struct {
	rest    string
	escapes bool // \ escapes in strings
	odd     bool // something has no end, or is a comment that is executed
}

// next returns the next word in upper case, the next other character, or "'" for a
// whole string or quoted name; "" at the end, and after something that it cannot read.
func (l *sqlLexer) next() string {
	for !l.odd && l.rest != "" {
		c := l.rest[0]
		switch {
		case c <= ' ':
			l.rest = l.rest[1:]
		case c == '#', strings.HasPrefix(l.rest, "--") && (len(l.rest) == 2 || l.rest[2] <= ' '):
			_, l.rest, _ = strings.Cut(l.rest, "\n")
		case strings.HasPrefix(l.rest, "/*"):
			l.comment()
		case c == '\'' || c == '"' || c == '`':
			l.quoted(c)
			return "'"
		case isWordByte(c):
			return l.word()
		default:
			sign := l.rest[:1]
			l.rest = l.rest[1:]
			return sign
		}
	}
	return ""
}

// comment skips a comment at the start of the rest. One that does not end, or that the
// server executes, makes the statement odd.
func (l *sqlLexer) comment() {
	body := l.rest[2:]
	_, rest, ended := strings.Cut(body, "*/")
	if !ended || strings.HasPrefix(body, "!") || strings.HasPrefix(strings.ToUpper(body[:min(2, len(body))]), "M!") {
		l.odd = true
		return
	}
	l.rest = rest
}

// quoted skips a quoted text at the start of the rest. One that does not end makes the
// statement odd.
func (l *sqlLexer) quoted(mark byte) {
	for i := 1; i < len(l.rest); i++ {
		switch {
		case l.rest[i] == '\\' && l.escapes && mark != '`':
			i++
		case l.rest[i] != mark:
		case i+1 < len(l.rest) && l.rest[i+1] == mark: // a doubled quote is one quote within
			i++
		default:
			l.rest = l.rest[i+1:]
			return
		}
	}
	l.odd = true
}

// word returns the word at the start of the rest in upper case. A number with letters
// behind it, other than 0x1F or 1e5, makes the statement odd, and is returned as "".
func (l *sqlLexer) word() string {
	n := 1
	for n < len(l.rest) && isWordByte(l.rest[n]) {
		n++
	}
	word := l.rest[:n]
	l.rest = l.rest[n:]
	if word[0] >= '0' && word[0] <= '9' && !isNumber(word) && !isExponent(word, l.rest) {
		l.odd = true // 1.5INTO is a number and a word
		return ""
	}
	return strings.ToUpper(word)
}

// isNumber reports whether a word is a whole number, decimal or hexadecimal.
func isNumber(word string) bool {
	if len(word) > 2 && (word[:2] == "0x" || word[:2] == "0X") {
		return strings.Trim(word[2:], "0123456789abcdefABCDEF") == ""
	}
	return strings.Trim(word, "0123456789") == ""
}

// isExponent reports whether word ends a number such as 2.5e0 or 1e-05, as drivers write
// those with a fraction. rest is what follows: the digits behind a sign are a word of
// their own.
func isExponent(word, rest string) bool {
	i := strings.IndexAny(word, "eE")
	if i < 0 || strings.Trim(word[:i], "0123456789") != "" {
		return false
	}
	if exponent := word[i+1:]; exponent != "" {
		return strings.Trim(exponent, "0123456789") == ""
	}
	return len(rest) > 1 && (rest[0] == '+' || rest[0] == '-') && rest[1] >= '0' && rest[1] <= '9'
}

// isWordByte reports whether a byte may be part of a word in SQL.
func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '$' || c >= 0x80
}
