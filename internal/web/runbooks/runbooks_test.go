package runbooks_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/docs"
	"github.com/resp-exporter/resp-exporter/internal/web/runbooks"
)

const base = "https://example.org/docs/"

// The runbooks that the exporter serves have a section for each alert of the rules, and
// no mark of Markdown is left in them.
func TestRunbooksOfTheDocumentation(t *testing.T) {
	p, err := runbooks.Parse(docs.Runbooks(), base)
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir("../../../rules")
	if err != nil {
		t.Fatal(err)
	}
	alerts := 0
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".rules.yml") {
			continue
		}
		rules, err := os.ReadFile("../../../rules/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)- alert: (\w+)$`).FindAllStringSubmatch(string(rules), -1) {
			alerts++
			if a := p.Anchor(m[1]); a != strings.ToLower(m[1]) || !strings.Contains(string(p.HTML), `<h3 id="`+a+`">`) {
				t.Errorf("%s has the anchor %q", m[1], a)
			}
		}
	}
	if alerts < 60 {
		t.Errorf("only %d alerts found", alerts)
	}
	if left := regexp.MustCompile("(?m)\\*\\*|`|\\]\\(|^- |^#").FindString(regexp.MustCompile(`(?s)<pre.*?</pre>`).ReplaceAllString(string(p.HTML), "")); left != "" {
		t.Errorf("%q is left", left)
	}
	if p.Title != "Runbooks" || len(p.Topics) < 8 || p.Anchor("RespNothing") != "" {
		t.Errorf("title %q, %d topics", p.Title, len(p.Topics))
	}
}

func TestParse(t *testing.T) {
	const head = "# All\n\n## App\n\n### RespFull\n\n"
	for name, c := range map[string][2]string{
		"paragraph":  {"a < b\nand `c`.", "<p>a &lt; b\nand <code>c</code>.</p>"},
		"bold":       {"**see `x`:** y", "<p><b>see <code>x</code>:</b> y</p>"},
		"list":       {"- one\n  more\n- two", "<ul>\n<li>one\nmore</li>\n<li>two</li>\n</ul>"},
		"table":      {"| a | b |\n|---|---|\n| 1 | `2` |", "<table>\n<tr><th>a</th>\n<th>b</th>\n</tr>\n<tr><td>1</td>\n<td><code>2</code></td>\n</tr>\n</table>"},
		"code":       {"```\n<a> **b**\n```", "<pre tabindex=\"0\"><code>&lt;a&gt; **b**\n</code></pre>"},
		"an alert":   {"see RespFull, not RespFulls", `<p>see <a href="#respfull">RespFull</a>, not RespFulls</p>`},
		"to a file":  {"[rules](../rules/a.yml)", `<p><a href="https://example.org/rules/a.yml">rules</a></p>`},
		"to a place": {"[there](#respfull)", `<p><a href="#respfull">there</a></p>`},
	} {
		p, err := runbooks.Parse(head+c[0]+"\n", base)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_, got, _ := strings.Cut(string(p.HTML), "</h3>\n")
		if strings.TrimSpace(got) != c[1] {
			t.Errorf("%s: %s, want %s", name, got, c[1])
		}
	}
}

// What is not known is an error, and never shown wrong.
func TestParseRefuses(t *testing.T) {
	for _, markdown := range []string{
		"#### Deep", "### In no chapter", "## Twice\n\n## Twice", "- a\n  - b", "> quoted", "* star", "<b>x</b>", "    code", "```\nopen",
		"open `code", "*slanted*", "**open", "[no link]", "[x](javascript:alert)", "[x](http://a.example/)", "1. first",
	} {
		if p, err := runbooks.Parse(markdown, base); err == nil {
			t.Errorf("%q is taken: %s", markdown, p.HTML)
		}
	}
}

// Texts of every kind: none, letters that are written from right to left, and long ones.
func TestParseAnyText(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	for markdown, want := range map[string]string{
		"":                              "",
		"\n\n":                          "",
		"# \u05d7\u05e0\u05d5\u05ea":    "",
		"\u05d7\u05e0\u05d5\u05ea & co": "<p>\u05d7\u05e0\u05d5\u05ea &amp; co</p>\n",
		"## \u05d7\u05e0 \"A\"":         "<h2 id=\"\u05d7\u05e0-a\"><a href=\"#\u05d7\u05e0-a\">\u05d7\u05e0 &#34;A&#34;</a></h2>\n",
		long:                            "<p>" + long + "</p>\n",
	} {
		p, err := runbooks.Parse(markdown, base)
		if err != nil || string(p.HTML) != want || p.Anchor("") != "" {
			t.Errorf("%.30q: %v, %.60s", markdown, err, p.HTML)
		}
	}
}

// For any text, the HTML has no other tags than ours.
func FuzzParse(f *testing.F) {
	f.Add("## A\n\ntext `code` **bold** [x](#a)\n- i\n  j\n\n| a |\n|---|\n| b |\n\n```\nx\n```\n")
	f.Add("## <script>\n\n<img src=x onerror=y> `<b>` **<i>** [<u>](\"onclick=x)")
	ours := regexp.MustCompile(`</?(h[23]|p|ul|li|table|tr|th|td|code|b|a)>|<h[23] id="[^"<>]*">|<a href="(#|https://)[^"<>]*">|<pre tabindex="0">|</pre>`)
	f.Fuzz(func(t *testing.T, markdown string) {
		p, err := runbooks.Parse(markdown, base)
		if err != nil {
			return
		}
		if rest := ours.ReplaceAllString(string(p.HTML), ""); strings.ContainsAny(rest, "<>\"") {
			t.Errorf("%q became %s", markdown, p.HTML)
		}
	})
}
