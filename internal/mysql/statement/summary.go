// Package statement says what an SQL statement does, without any of its values.
package statement

import (
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// maxText bounds a summary, in bytes.
	maxText = 200
	// maxTables is how many tables a summary names.
	maxTables = 8
	// shownLength is how many characters of a statement SHOW PROCESSLIST shows.
	shownLength = 100
	// maxDepth is how many brackets are followed.
	maxDepth = 32
)

// Summary is what a statement does: its first words, all of them of a fixed list,
// and the tables that it names. Columns, values and comments are left out.
type Summary struct {
	Verb   string   // "SELECT FROM", "UPDATE", "ALTER TABLE", "FLUSH TABLES WITH READ LOCK", …; "": another statement
	Tables []string // "shop.orders", without the database where it is not known; in their order, each once, at most 8
}

// String returns the summary in at most 200 bytes, such as "UPDATE shop.orders"; names
// that do not fit are cut, with "..." behind them. Without tables it is the verb alone.
func (s Summary) String() string {
	if len(s.Tables) == 0 {
		return strings.TrimSuffix(strings.TrimSuffix(s.Verb, " FROM"), " INTO")
	}
	verb, after, _ := strings.Cut(s.Verb, " WITH ")
	if after != "" {
		after = " WITH " + after
	}
	names := strings.Join(s.Tables, ", ")
	if room := maxText - len(verb) - len(after) - 1; len(names) > room {
		const more = "..."
		names = names[:room-len(more)]
		for !utf8.ValidString(names) {
			names = names[:len(names)-1]
		}
		names += more
	}
	return verb + " " + names + after
}

// Only returns the one table that the statement names; "" if it names none or several.
func (s Summary) Only() string {
	if len(s.Tables) != 1 {
		return ""
	}
	return s.Tables[0]
}

// Of returns the summary of a statement that runs in the current database db, which may be
// "". The statement may be cut off. If its first words are not those of one of [verbs],
// the summary is zero. A db that cannot be shown counts as "".
func Of(text []byte, db string) Summary {
	if !showable([]byte(db)) {
		db = ""
	}
	p := parser{lexer: lexer{text}, db: db, cut: utf8.RuneCount(text) >= shownLength}
	p.advance()
	for p.isMark('(') {
		p.advance()
	}
	if p.now.kind != tokenWord {
		return Summary{}
	}
	for _, v := range verbs() {
		if v.words[0]|0x20 == p.now.text[0]|0x20 && p.begins(v.words) {
			p.out.Verb = v.verb
			v.rest(&p)
			return p.out
		}
	}
	return Summary{}
}

// verb is one kind of statement, by its first words.
type verb struct {
	words string // each may have alternatives: "INSERT|REPLACE"
	verb  string
	rest  func(*parser) // reads the tables
}

// verbs returns the kinds of statements; of several that fit the first counts.
func verbs() [36]verb {
	none := func(*parser) {}
	return [...]verb{
		{"SELECT", "SELECT FROM", (*parser).query},
		{"WITH", "SELECT", none},
		{"INSERT", "INSERT INTO", (*parser).into},
		{"REPLACE", "REPLACE INTO", (*parser).into},
		{"UPDATE", "UPDATE", (*parser).update},
		{"DELETE", "DELETE FROM", (*parser).query},
		{"LOAD", "LOAD DATA", none},
		{"CALL", "CALL", (*parser).one},
		{"ALTER TABLE", "ALTER TABLE", (*parser).one},
		{"ALTER ONLINE|IGNORE TABLE", "ALTER TABLE", (*parser).one},
		{"ALTER ONLINE IGNORE TABLE", "ALTER TABLE", (*parser).one},
		{"ALTER", "ALTER", none},
		{"CREATE TABLE", "CREATE TABLE", (*parser).one},
		{"CREATE INDEX", "CREATE INDEX ON", (*parser).index},
		{"CREATE UNIQUE|FULLTEXT|SPATIAL INDEX", "CREATE INDEX ON", (*parser).index},
		{"CREATE", "CREATE", none},
		{"DROP TABLE", "DROP TABLE", (*parser).list},
		{"DROP INDEX", "DROP INDEX ON", (*parser).index},
		{"DROP", "DROP", none},
		{"TRUNCATE TABLE", "TRUNCATE TABLE", (*parser).one},
		{"TRUNCATE", "TRUNCATE TABLE", (*parser).one},
		{"RENAME TABLE|TABLES", "RENAME TABLE", (*parser).one},
		{"OPTIMIZE TABLE|TABLES", "OPTIMIZE TABLE", (*parser).list},
		{"ANALYZE TABLE|TABLES", "ANALYZE TABLE", (*parser).list},
		{"LOCK TABLE|TABLES", "LOCK TABLES", (*parser).list},
		{"LOCK INSTANCE FOR BACKUP", "LOCK INSTANCE FOR BACKUP", none},
		{"FLUSH TABLE|TABLES WITH READ LOCK", "FLUSH TABLES WITH READ LOCK", none},
		{"FLUSH TABLE|TABLES", "FLUSH TABLES", (*parser).flush},
		{"BACKUP STAGE", "BACKUP STAGE", none},
		{"UNLOCK TABLE|TABLES", "UNLOCK TABLES", none},
		{"BEGIN", "BEGIN", none},
		{"START TRANSACTION", "START TRANSACTION", none},
		{"COMMIT", "COMMIT", none},
		{"ROLLBACK", "ROLLBACK", none},
		{"SHOW", "SHOW", none},
		{"SET", "SET", none},
	}
}

// parser reads the tables of one statement.
type parser struct {
	lexer

	now token
	db  string
	cut bool // the statement may be longer, so that a name at its end may be
	out Summary
}

// advance reads the next token.
func (p *parser) advance() { p.now = p.next() }

// isMark reports whether the present token is that mark.
func (p *parser) isMark(c byte) bool { return p.now.kind == tokenMark && p.now.text[0] == c }

// isWord reports whether the token is one of these words: "TABLE|TABLES".
func (p *parser) isWord(words string) bool {
	if p.now.kind != tokenWord {
		return false
	}
	for more := true; more; {
		var w string
		if w, words, more = strings.Cut(words, "|"); len(w) == len(p.now.text) && strings.EqualFold(w, string(p.now.text)) {
			return true
		}
	}
	return false
}

// begins reports whether the statement goes on with these words, and then moves behind
// them; otherwise it stays where it is.
func (p *parser) begins(words string) bool {
	before := *p
	for w := range strings.SplitSeq(words, " ") {
		if !p.isWord(w) {
			*p = before
			return false
		}
		p.advance()
	}
	return true
}

// skip moves behind any of these words, as many as there are.
func (p *parser) skip(words string) {
	for p.isWord(words) {
		p.advance()
	}
}

// table moves behind the name of a table and adds it to the summary, unless that has it
// or 8 others already; false, and nothing is added, if there is no name here or, in a
// query, the name of a function.
func (p *parser) table() bool {
	if !p.isName() || p.isWord("SELECT|LATERAL|DUAL|OUTFILE|DUMPFILE|ONLY|SET|VALUES|VALUE|WHERE|FROM|AS|ON|READ|WRITE") {
		return false
	}
	db, name := p.db, string(p.now.text)
	p.advance()
	if p.isMark('.') {
		p.advance()
		if !p.isName() {
			return false
		}
		db, name = name, string(p.now.text)
		p.advance()
	}
	if p.isMark('(') && p.out.Verb == "SELECT FROM" { // a function
		return false
	}
	if db != "" {
		name = db + "." + name
	}
	if len(p.out.Tables) < maxTables && !slices.Contains(p.out.Tables, name) {
		p.out.Tables = append(p.out.Tables, name)
	}
	return true
}

// isName reports whether the token may be a name; false for the last one of a text that
// may have been cut off, which may be a part.
func (p *parser) isName() bool {
	return (p.now.kind == tokenName || p.now.kind == tokenWord) && (!p.cut || len(p.rest) > 0)
}

// one adds the one table that a statement names here.
func (p *parser) one() {
	p.skip("IF|NOT|EXISTS")
	p.table()
}

// list adds the tables of a list: "a AS x READ, b WRITE".
func (p *parser) list() {
	p.skip("IF|EXISTS")
	for p.table() {
		p.skip("READ|LOCAL|WRITE|LOW_PRIORITY|CONCURRENT")
		if p.begins("AS") {
			p.advance()
			p.skip("READ|LOCAL|WRITE|LOW_PRIORITY|CONCURRENT")
		}
		if !p.isMark(',') {
			return
		}
		p.advance()
	}
}

// flush adds the tables of FLUSH TABLES, and to the verb that they are locked as well.
func (p *parser) flush() {
	if p.list(); p.begins("WITH READ LOCK") {
		p.out.Verb += " WITH READ LOCK"
	}
}

// index adds the table behind the name of an index.
func (p *parser) index() {
	p.skip("IF|NOT|EXISTS")
	p.advance()
	if p.begins("ON") {
		p.table()
	}
}

// into adds the table of an INSERT, and those that it selects from.
func (p *parser) into() {
	p.skip("LOW_PRIORITY|DELAYED|HIGH_PRIORITY|IGNORE|INTO")
	if p.table() {
		p.query()
	}
}

// update adds the tables of an UPDATE, and those of queries in it.
func (p *parser) update() {
	p.skip("LOW_PRIORITY|IGNORE")
	p.clauses(scope{expects: true, lists: true})
}

// query adds the tables of the FROM clauses.
func (p *parser) query() { p.clauses(scope{query: true}) }

// scope is what is known between two brackets.
type scope struct {
	query   bool // a FROM in it is followed by tables, unlike the one of EXTRACT(YEAR FROM x)
	lists   bool // a comma is followed by a table
	expects bool // the next name is a table
}

// clauses adds the tables in the rest of the statement. outer says what the statement's
// own clauses are; each bracket has a scope of its own, down to a bound.
func (p *parser) clauses(outer scope) {
	scopes := []scope{outer}
	for p.now.kind != tokenEnd {
		s := &scopes[len(scopes)-1]
		switch {
		case p.isMark('('):
			if len(scopes) == maxDepth {
				return
			}
			scopes = append(scopes, scope{lists: s.expects, expects: s.expects})
			s.expects = false
		case p.isMark(')'):
			if scopes = scopes[:len(scopes)-1]; len(scopes) == 0 {
				return
			}
		case p.isMark(';'):
			return
		case s.expects && p.table():
			s.expects = false
			continue
		default:
			s.see(p)
		}
		p.advance()
	}
}

// see sets by a token, which is neither a bracket nor a table, whether a table may follow
// in this scope.
func (s *scope) see(p *parser) {
	s.expects = p.isMark(',') && s.lists || p.isWord("LATERAL") && s.expects
	switch {
	case p.isWord("SELECT|DELETE"):
		s.query, s.lists = true, false
	case p.isWord("FROM") && s.query, p.isWord("JOIN|STRAIGHT_JOIN") && s.lists:
		s.lists, s.expects = true, true
	case p.isWord("WHERE|SET|GROUP|ORDER|HAVING|LIMIT|USING|UNION|WINDOW|VALUES|VALUE|FOR|LOCK"):
		s.lists = false
	}
}
