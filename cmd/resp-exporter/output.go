package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/resp-exporter/resp-exporter/internal/text"
)

// lines collects lines for a terminal. What is in them may come from processes
// and servers of others: each is cleaned as a whole, see [text.Line].
type lines struct{ bytes.Buffer }

// add adds one line, without control characters.
func (l *lines) add(format string, args ...any) {
	l.WriteString(text.Line(fmt.Sprintf(format, args...)))
	l.WriteByte('\n')
}

// printLine writes one line to w, without characters that could control a terminal.
// Errors are ignored.
func printLine(w io.Writer, format string, args ...any) {
	var l lines
	l.add(format, args...)
	_, _ = w.Write(l.Bytes())
}

// printJSON writes a value as indented JSON, with escapes for all that is not
// printable.
func printJSON(v any, w io.Writer) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(text.JSON(b.Bytes()))
	return err
}
