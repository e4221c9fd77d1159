// Package runbooks turns docs/runbooks.md into HTML. It knows the Markdown that our own
// documentation uses, and returns an error for any other, so that nothing is shown wrong:
// headings of three levels, paragraphs, flat lists, tables and blocks of code, and in a
// line code, bold text and links.
package runbooks

import (
	"fmt"
	"html/template"
	"regexp"
	"strings"
	"unicode"
)

// Page is the runbooks, ready to be sent.
type Page struct {
	Title  string
	Topics []Topic
	HTML   template.HTML

	anchors map[string]string // of the section of an alert, by its name
}

// Topic is a chapter of the runbooks.
type Topic struct {
	Title, Anchor string
	Sections      []Section
}

// Section is a part of a chapter. The section of an alert has its name as the title.
type Section struct{ Title, Anchor string }

// Anchor returns the anchor of the section about an alert; "" if there is none.
func (p *Page) Anchor(alert string) string { return p.anchors[alert] }

// Parse returns the runbooks as a page. base is the address, with a slash at its end,
// below which the files of relative links lie. It returns an error for what it does not
// know of Markdown.
func Parse(markdown, base string) (*Page, error) {
	w := &writer{base: base, lines: strings.Split(markdown, "\n"), page: &Page{anchors: make(map[string]string)}, taken: make(map[string]bool)}
	// All sections first, because a text may name one that comes after it.
	for _, l := range w.lines {
		if title, ok := strings.CutPrefix(l, "### "); ok && alertName.MatchString(title) {
			w.page.anchors[title] = anchorOf(title)
		}
	}
	for w.at < len(w.lines) {
		if err := w.block(); err != nil {
			return nil, fmt.Errorf("line %d: %w", w.at+1, err)
		}
	}
	w.page.HTML = template.HTML(w.out.String()) //nolint:gosec // inline has escaped every text
	return w.page, nil
}

var alertName = regexp.MustCompile(`^Resp[A-Z][A-Za-z0-9]*$`)

// writer is the parsing of one page under way.
type writer struct {
	base  string
	lines []string
	at    int // the line to be read next
	page  *Page
	taken map[string]bool // anchors
	out   strings.Builder
}

// block reads one block into the page: a heading, a list, a table, code or a paragraph; it
// only skips a line that is empty. w.at must be a line. An error: it begins no block that is
// known, or the block is broken.
func (w *writer) block() error {
	l := w.lines[w.at]
	switch {
	case l == "":
		w.at++
		return nil
	case strings.HasPrefix(l, "#"):
		return w.heading(l)
	case strings.HasPrefix(l, "```"):
		return w.code()
	case strings.HasPrefix(l, "- "):
		return w.list()
	case strings.HasPrefix(l, "|"):
		return w.table()
	case !startsParagraph(l):
		return fmt.Errorf("no block that is known begins with %q", l)
	}
	return w.paragraph()
}

// startsParagraph reports whether a line, which is not empty, begins as one of a paragraph
// does: with a letter, `, [ or **.
func startsParagraph(l string) bool {
	first := []rune(l)[0]
	return unicode.IsLetter(first) || first == '`' || first == '[' || strings.HasPrefix(l, "**")
}

// heading writes a heading; of one of level 1 it only sets the title of the page. An error:
// it has no text or no level from 1 to 3, its anchor is taken, or one of level 3 comes
// before any of level 2.
func (w *writer) heading(l string) error {
	hashes, title, _ := strings.Cut(l, " ")
	level := len(hashes)
	if strings.Trim(hashes, "#") != "" || level > 3 || title == "" {
		return fmt.Errorf("%q is no heading of the first three levels", l)
	}
	anchor := anchorOf(title)
	if w.taken[anchor] {
		return fmt.Errorf("the anchor %q is taken", anchor)
	}
	w.taken[anchor] = true
	w.at++
	switch level {
	case 1:
		w.page.Title = title
		return nil
	case 2:
		w.page.Topics = append(w.page.Topics, Topic{Title: title, Anchor: anchor})
	case 3:
		if len(w.page.Topics) == 0 {
			return fmt.Errorf("%q is in no chapter", title)
		}
		t := &w.page.Topics[len(w.page.Topics)-1]
		t.Sections = append(t.Sections, Section{title, anchor})
	}
	fmt.Fprintf(&w.out, "<h%d id=\"%s\"><a href=\"#%[2]s\">%s</a></h%[1]d>\n", level, anchor, template.HTMLEscapeString(title))
	return nil
}

// anchorOf returns the anchor of a heading, as GitHub makes it.
func anchorOf(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			return unicode.ToLower(r)
		case r == ' ':
			return '-'
		}
		return -1
	}, title)
}

// code writes a block of code. An error: it does not end.
func (w *writer) code() error {
	w.at++
	w.out.WriteString("<pre tabindex=\"0\"><code>")
	for ; w.at < len(w.lines); w.at++ {
		if w.lines[w.at] == "```" {
			w.at++
			w.out.WriteString("</code></pre>\n")
			return nil
		}
		w.out.WriteString(template.HTMLEscapeString(w.lines[w.at]) + "\n")
	}
	return fmt.Errorf("a block of code does not end")
}

// list writes a list. An error: there is a list within it or an item indented by more than
// two spaces, or an item has marks that inline does not know.
func (w *writer) list() error {
	w.out.WriteString("<ul>\n")
	for w.at < len(w.lines) && strings.HasPrefix(w.lines[w.at], "- ") {
		item := []string{w.lines[w.at][2:]}
		for w.at++; w.at < len(w.lines) && strings.HasPrefix(w.lines[w.at], "  "); w.at++ {
			more := w.lines[w.at][2:]
			if more == "" || strings.HasPrefix(more, " ") || strings.HasPrefix(more, "- ") {
				return fmt.Errorf("%q: a list within a list is not known", w.lines[w.at])
			}
			item = append(item, more)
		}
		if err := w.element("li", strings.Join(item, "\n")); err != nil {
			return err
		}
	}
	w.out.WriteString("</ul>\n")
	return nil
}

// table writes a table, whose first row is its head. An error: a cell has marks that inline
// does not know.
func (w *writer) table() error {
	w.out.WriteString("<table>\n")
	cell := "th"
	for ; w.at < len(w.lines) && strings.HasPrefix(w.lines[w.at], "|"); w.at++ {
		cells := strings.Split(strings.Trim(w.lines[w.at], "|"), "|")
		if strings.Trim(w.lines[w.at], "|-") == "" {
			continue
		}
		w.out.WriteString("<tr>")
		for _, c := range cells {
			if err := w.element(cell, strings.TrimSpace(c)); err != nil {
				return err
			}
		}
		w.out.WriteString("</tr>\n")
		cell = "td"
	}
	w.out.WriteString("</table>\n")
	return nil
}

// paragraph writes a paragraph, up to an empty line or one that begins another block.
func (w *writer) paragraph() error {
	from := w.at
	for w.at++; w.at < len(w.lines) && w.lines[w.at] != "" && startsParagraph(w.lines[w.at]); {
		w.at++
	}
	return w.element("p", strings.Join(w.lines[from:w.at], "\n"))
}

// element writes an element with a text whose marks become HTML. It writes nothing if
// inline returns an error.
func (w *writer) element(tag, text string) error {
	html, err := w.inline(text)
	if err != nil {
		return err
	}
	w.out.WriteString("<" + tag + ">" + html + "</" + tag + ">\n")
	return nil
}
