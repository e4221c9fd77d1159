package schema

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Document reads the one document of a file into the struct to which c points. What is
// wrong, a second document too, becomes a fault of d. An empty file is no fault, and c is kept.
func (d *Decoder) Document(data []byte, c any) {
	if f, bad := textFault(data); bad {
		d.Add(f)
		return
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if !errors.Is(err, io.EOF) {
			d.Add(syntaxFault(err, data))
		}
		return
	}
	if len(doc.Content) > 0 {
		d.structure(reflect.ValueOf(c).Elem(), Field{})(doc.Content[0], "")
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		d.Add(Fault{Got: "a second document", Want: "one document", Line: second.Line})
	case !errors.Is(err, io.EOF):
		d.Add(syntaxFault(err, data))
	}
}

// textFault returns the first fault of a file: a byte that is not UTF-8, a control character
// other than tab and line ends, or a byte order mark that is not at the start; false if it
// has none. The parser would name no line for it.
func textFault(data []byte) (Fault, bool) {
	line := 1
	for rest := bytes.TrimPrefix(data, []byte("\ufeff")); len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && n == 1:
			return Fault{Got: "bytes that are not UTF-8", Want: "UTF-8", Line: line}, true
		case r == '\n':
			line++
		case r < ' ' && r != '\t' && r != '\r', r >= 0x7f && r < 0xa0 && r != 0x85, r == 0xfeff, r == 0xfffe, r == 0xffff:
			return Fault{Got: fmt.Sprintf("the control character %U", r), Want: "text", Line: line}, true
		}
		rest = rest[n:]
	}
	return Fault{}, false
}

var (
	syntaxLine = regexp.MustCompile(`^line ([0-9]+): `)
	// The library counts lines from 0 in these.
	fromZero = regexp.MustCompile(`^did not find expected ('-' indicator|key$|',' or)`)
	// This error never has a line.
	noLine = regexp.MustCompile(`^unknown anchor '(.*)' referenced`)
)

// syntaxFault returns the fault for the parser's error. Its line is where the
// parser gave up, or where the block begins that it could not read.
func syntaxFault(err error, data []byte) Fault {
	s := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1 // the library names no line if it is the first
	if m := syntaxLine.FindStringSubmatch(s); m != nil {
		s = s[len(m[0]):]
		line, _ = strconv.Atoi(m[1]) // digits, and never more than the file has lines
	}
	if fromZero.MatchString(s) {
		line++
	}
	if m := noLine.FindStringSubmatch(s); m != nil {
		before, _, _ := bytes.Cut(data, []byte("*"+m[1]))
		line = 1 + bytes.Count(before, []byte("\n"))
	}
	last := 1 + bytes.Count(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
	return Fault{Got: "not YAML: " + OneLine(s), Line: min(line, last)}
}
