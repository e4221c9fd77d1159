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

// label returns a text as a label: printable and bounded.
func label(raw []byte) string { return text.Clip(text.Line(string(raw)), labelMost) }

// text returns a str as a label. The same text costs nothing the second time.
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

// method returns a method of HTTP. A client may send any word.
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

// wsgiText appends a text of a WSGI environment, which is bytes of UTF-8 as
// characters of Latin-1. Django writes it back with its own characters.
func (r *Reader) wsgiText(dst []byte, obj uint64) ([]byte, bool) {
	n := len(dst)
	if raw, ok := r.objects.Latin1(dst, obj); ok && utf8.Valid(raw[n:]) {
		return raw, true
	}
	return r.objects.Str(dst, obj)
}

// path returns a path, which costs nothing while it is the one of the last look.
func (r *Reader) path(t *Thread, raw []byte) string {
	if string(raw) != string(t.raw) || t.path == "" {
		t.raw = append(t.raw[:0], raw...)
		t.path = text.Clip(text.Line(string(raw)), pathMost)
	}
	return t.path
}
