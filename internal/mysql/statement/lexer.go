package statement

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// The kinds of a token.
const (
	tokenEnd     = iota
	tokenWord    // a keyword or a bare name
	tokenName    // a name between backticks
	tokenLiteral // a value, a variable or what may be one; its text is not kept
	tokenMark    // one character of punctuation
)

// token is one piece of a statement. Its text is a part of the statement.
type token struct {
	kind int
	text []byte
}

// lexer cuts a statement into tokens. It ends early wherever two servers could
// read on differently by their settings, for behind that a value may look like a
// name: at a backslash within quotes (NO_BACKSLASH_ESCAPES), at a comment that is
// executed, and at other kinds of quotes.
type lexer struct{ rest []byte }

// next returns the next token and moves behind it; the zero token at the end of the
// statement, and at what cannot be read.
func (l *lexer) next() token {
	if !l.skipBlanks() {
		return token{}
	}
	switch c := l.rest[0]; {
	case c == '\'' || c == '"':
		return l.quoted(c)
	case c == '`':
		return l.name()
	case isDigit(c) || c == '.' && len(l.rest) > 1 && isDigit(l.rest[1]):
		return l.literal(0)
	case c == '@':
		return l.variable()
	case c == '$':
		return l.end()
	case isLetter(c) || isWord(c):
		return l.word()
	default:
		t := token{tokenMark, l.rest[:1]}
		l.rest = l.rest[1:]
		return t
	}
}

// end drops the rest of the statement and returns the zero token, which is the end.
func (l *lexer) end() token {
	l.rest = nil
	return token{}
}

// skipBlanks skips white space and comments; false at the end of the statement, or at a
// comment that the server executes.
func (l *lexer) skipBlanks() bool {
	for {
		l.rest = bytes.TrimLeft(l.rest, " \t\r\n\f\v")
		end := ""
		switch {
		case len(l.rest) == 0, bytes.HasPrefix(l.rest, []byte("/*!")), bytes.HasPrefix(l.rest, []byte("/*M!")):
			l.rest = nil
			return false
		case bytes.HasPrefix(l.rest, []byte("/*")):
			l.rest, end = l.rest[2:], "*/"
		case l.rest[0] == '#', bytes.HasPrefix(l.rest, []byte("--")) && (len(l.rest) == 2 || l.rest[2] <= ' '):
			end = "\n"
		default:
			return true
		}
		_, rest, found := bytes.Cut(l.rest, []byte(end))
		if l.rest = rest; !found {
			l.rest = nil
		}
	}
}

// quoted returns the token of a string, without its text, and moves behind it. A backslash in
// it, or a missing quote at its end, ends the statement. In a server with ANSI_QUOTES it may
// be a name, which is not kept either.
func (l *lexer) quoted(quote byte) token {
	for i := 1; i < len(l.rest); i++ {
		switch {
		case l.rest[i] == '\\':
			l.rest = nil
			return token{kind: tokenLiteral}
		case l.rest[i] != quote:
		case i+1 < len(l.rest) && l.rest[i+1] == quote:
			i++
		default:
			l.rest = l.rest[i+1:]
			return token{kind: tokenLiteral}
		}
	}
	l.rest = nil
	return token{kind: tokenLiteral}
}

// name returns the token of a name between backticks and moves behind it. A name that
// cannot be shown becomes a literal without text. One with a backtick in it, or that is
// not closed, ends the statement.
func (l *lexer) name() token {
	end := bytes.IndexByte(l.rest[1:], '`') + 1
	if end < 1 || bytes.HasPrefix(l.rest[end+1:], []byte("`")) {
		return l.end()
	}
	text := l.rest[1:end]
	l.rest = l.rest[end+1:]
	if !showable(text) {
		return token{kind: tokenLiteral}
	}
	return token{tokenName, text}
}

// word returns the token of a keyword or a bare name and moves behind it. A word right
// before a quote, as in x'41' and _utf8'a', is part of a value, and becomes a literal
// without text, as does what cannot be shown. A "$" in it, or q before a quote, ends the
// statement.
func (l *lexer) word() token {
	n := 1
	for n < len(l.rest) && (isLetter(l.rest[n]) || isWord(l.rest[n])) {
		n++
	}
	text := l.rest[:n]
	switch {
	case bytes.IndexByte(text, '$') >= 0:
		return l.end()
	case n < len(l.rest) && (l.rest[n] == '\'' || l.rest[n] == '"'):
		if last := text[n-1] | 0x20; last == 'q' {
			return l.end() // q'[…]' of other dialects
		}
		l.rest = l.rest[n:]
		return l.quoted(l.rest[0])
	}
	l.rest = l.rest[n:]
	if !showable(text) {
		return token{kind: tokenLiteral}
	}
	return token{tokenWord, text}
}

// literal moves behind a number, or what begins like one, from the n-th byte on, and
// returns a literal without text.
func (l *lexer) literal(n int) token {
	for n < len(l.rest) && (l.rest[n] == '.' || isLetter(l.rest[n]) || isWord(l.rest[n])) {
		n++
	}
	l.rest = l.rest[n:]
	return token{kind: tokenLiteral}
}

// variable moves behind @name, @@name or the host of an account, and returns a literal
// without text; the end of the statement if a backquote has no end, or is doubled in it.
func (l *lexer) variable() token {
	l.rest = bytes.TrimLeft(l.rest, "@")
	switch {
	case len(l.rest) == 0:
		return token{kind: tokenLiteral}
	case l.rest[0] == '\'' || l.rest[0] == '"':
		return l.quoted(l.rest[0])
	case l.rest[0] == '`':
		if l.name().kind == tokenEnd {
			return l.end()
		}
		return token{kind: tokenLiteral}
	default:
		return l.literal(0)
	}
}

// isDigit reports whether a byte is an ASCII digit.
func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// maxName bounds a name of a database or a table, in bytes: 64 characters.
const maxName = 64 * 3

// showable reports whether a name is printable UTF-8 without quotation marks, backslashes
// and commas, and within its bound; false for an empty one.
func showable(name []byte) bool {
	if len(name) == 0 || len(name) > maxName || !utf8.Valid(name) {
		return false
	}
	return !bytes.ContainsFunc(name, func(r rune) bool {
		return !unicode.IsPrint(r) || r == '\'' || r == '"' || r == '\\' || r == ',' || r == utf8.RuneError
	})
}
