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

// next returns the next token.
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

// end drops the rest of the statement.
func (l *lexer) end() token {
	l.rest = nil
	return token{}
}

// skipBlanks skips white space and comments; false at the end.
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

// quoted reads a string. In a server with ANSI_QUOTES it may be a name, which is
// not kept either.
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

// name reads a name between backticks. One with a backtick in it, one that is not
// closed and one that cannot be shown are not kept.
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

// word reads a keyword or a bare name. What stands right before a quote, as in
// x'41' and _utf8'a', is part of a value.
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

// literal reads a number, or what begins like one, from the n-th byte on.
func (l *lexer) literal(n int) token {
	for n < len(l.rest) && (l.rest[n] == '.' || isLetter(l.rest[n]) || isWord(l.rest[n])) {
		n++
	}
	l.rest = l.rest[n:]
	return token{kind: tokenLiteral}
}

// variable reads @name, @@name and the host of an account.
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

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// maxName bounds a name of a database or a table, in bytes: 64 characters.
const maxName = 64 * 3

// showable reports whether a name is printable UTF-8 without quotes, within its
// bound.
func showable(name []byte) bool {
	if len(name) == 0 || len(name) > maxName || !utf8.Valid(name) {
		return false
	}
	return !bytes.ContainsFunc(name, func(r rune) bool {
		return !unicode.IsPrint(r) || r == '\'' || r == '"' || r == '\\' || r == ',' || r == utf8.RuneError
	})
}
