package runbooks

import (
	"fmt"
	"html/template"
	"net/url"
	"strings"
)

// inline returns the HTML of a text with code, bold text and links. The name of an alert
// that has a section becomes a link to it. The error names what does not end or is no
// link.
func (w *writer) inline(text string) (string, error) {
	var out strings.Builder
	for text != "" {
		at := strings.IndexAny(text, "`*[")
		if at < 0 {
			out.WriteString(w.plain(text))
			break
		}
		out.WriteString(w.plain(text[:at]))
		html, rest, err := w.span(text[at:])
		if err != nil {
			return "", err
		}
		out.WriteString(html)
		text = rest
	}
	return out.String(), nil
}

// span returns the HTML of the code, bold text or link at the beginning of a text, and the
// rest of the text. The error: it does not end, or the mark begins nothing that is known.
func (w *writer) span(text string) (html, rest string, err error) {
	switch text[0] {
	case '`':
		code, rest, ok := strings.Cut(text[1:], "`")
		if !ok {
			return "", "", fmt.Errorf("code does not end: %q", text)
		}
		return "<code>" + w.plain(code) + "</code>", rest, nil
	case '*':
		bold, rest, ok := strings.Cut(strings.TrimPrefix(text, "**"), "**")
		if !ok || !strings.HasPrefix(text, "**") {
			return "", "", fmt.Errorf("no bold text: %q", text)
		}
		html, err := w.inline(bold)
		return "<b>" + html + "</b>", rest, err
	}
	label, rest, ok := strings.Cut(text[1:], "](")
	target, rest, closed := strings.Cut(rest, ")")
	if !ok || !closed || strings.ContainsAny(label, "[]`*") {
		return "", "", fmt.Errorf("no link: %q", text)
	}
	href, err := w.href(target)
	return `<a href="` + template.HTMLEscapeString(href) + `">` + template.HTMLEscapeString(label) + "</a>", rest, err
}

// href returns the address of a link: that of a section and an absolute one stay, that of
// another file is taken below the base. It returns an error unless the address is that of a
// section or https.
func (w *writer) href(target string) (string, error) {
	if strings.HasPrefix(target, "#") {
		return target, nil
	}
	base, err := url.Parse(w.base)
	if err != nil {
		return "", err
	}
	u, err := base.Parse(target)
	if err != nil {
		return "", err
	}
	if u.Scheme != "https" {
		return "", fmt.Errorf("a link to %q", target)
	}
	return u.String(), nil
}

// plain returns a text as escaped HTML, with links at the names of alerts.
func (w *writer) plain(text string) string {
	var out strings.Builder
	for text != "" {
		end := strings.IndexFunc(text, func(r rune) bool { return !isWord(r) })
		if end < 0 {
			end = len(text)
		}
		if word := text[:end]; w.page.anchors[word] != "" {
			out.WriteString(`<a href="#` + w.page.anchors[word] + `">` + word + "</a>")
		} else {
			out.WriteString(template.HTMLEscapeString(word))
		}
		next := strings.IndexFunc(text[end:], isWord)
		if next < 0 {
			next = len(text) - end
		}
		out.WriteString(template.HTMLEscapeString(text[end : end+next]))
		text = text[end+next:]
	}
	return out.String()
}

// isWord reports whether a character is an ASCII letter, a digit or an underscore.
func isWord(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
}
