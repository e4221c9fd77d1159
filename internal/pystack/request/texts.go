package request

import (
	"unicode/utf8"

	"github.com/resp-exporter/resp-exporter/internal/text"
)

// Bounds of texts, in bytes.
const (
	labelMost = 128
	pathMost  = 512
)

// label returns a text as a label: printable, and with "…" after 128 bytes.
func label(raw []byte) string { return text.Clip(text.Line(string(raw)), labelMost) }

// text returns the text of a str as a label: printable, cut to 128 bytes with "…"; "" if
// obj is no str or cannot be read. The same text costs nothing the second time.
func (r *Reader) text(obj uint64) string {
	var ok bool
	if r.buf, ok = r.objects.Str(r.buf[:0], obj); !ok {
		return ""
	}
	if clean, ok := r.texts[string(r.buf)]; ok {
		return clean
	}
	if len(r.texts) >= textsMost {
		clear(r.texts)
	}
	clean := label(r.buf)
	r.texts[string(r.buf)] = clean
	return clean
}

// method returns the HTTP method that a str is, one of nine in capital letters; "other" for
// any other word, also in small letters, since a client may send any; "" if obj is no str
// or cannot be read.
func (r *Reader) method(obj uint64) string {
	var ok bool
	if r.buf, ok = r.objects.Str(r.buf[:0], obj); !ok {
		return ""
	}
	switch string(r.buf) {
	case "GET":
		return "GET"
	case "POST":
		return "POST"
	case "HEAD":
		return "HEAD"
	case "PUT":
		return "PUT"
	case "DELETE":
		return "DELETE"
	case "PATCH":
		return "PATCH"
	case "OPTIONS":
		return "OPTIONS"
	case "CONNECT":
		return "CONNECT"
	case "TRACE":
		return "TRACE"
	}
	return "other"
}

// wsgiText appends a text of a WSGI environment to dst, at most 300 characters, and returns
// it; false if obj is no str or cannot be read. If its characters are bytes of UTF-8
// (Latin-1, PEP 3333) it is decoded; any other text keeps its characters, as what Django
// writes back.
func (r *Reader) wsgiText(dst []byte, obj uint64) ([]byte, bool) {
	n := len(dst)
	if raw, ok := r.objects.Latin1(dst, obj); ok && utf8.Valid(raw[n:]) {
		return raw, true
	}
	return r.objects.Str(dst, obj)
}

// path returns a path as text that may be shown, with "…" after 512 bytes. It allocates
// nothing if the path is that of the last look.
func (r *Reader) path(t *Thread, raw []byte) string {
	if string(raw) != string(t.raw) || t.path == "" {
		t.raw = append(t.raw[:0], raw...)
		t.path = text.Clip(text.Line(string(raw)), pathMost)
	}
	return t.path
}
