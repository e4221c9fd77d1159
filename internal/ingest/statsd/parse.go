// Package statsd receives and parses StatsD and DogStatsD lines: those of gunicorn,
// hypercorn and the Flask integration become events of package ingest.
package statsd

import (
	"bytes"
	"errors"
	"slices"
	"unicode/utf8"

	"github.com/resp-exporter/resp-exporter/internal/ingest"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// The limits of one line, so that a single packet has little effect.
const (
	maxLine    = 8 << 10 // bytes
	maxSeconds = 86400.0 // of a request
	maxCount   = 1e9     // of a counter
	minRate    = 0.0001  // so that one line does not stand for too many events
)

// The errors of [Parse]. With all but ErrUnknown, the line is malformed.
var (
	ErrShape   = errors.New("not name:value|type")
	ErrValue   = errors.New("value or status code out of range")
	ErrRate    = errors.New("sample rate not between 0.0001 and 1")
	ErrType    = errors.New("unknown StatsD type")
	ErrSize    = errors.New("longer than 8 KiB")
	ErrUnknown = errors.New("valid, but the metric is not used")
)

// Line is one parsed line: the properties that its values share, and the values.
type Line struct {
	event ingest.Event
	app   [text.MaxName]byte // buffer for the app's name if it had to be cleaned
	code  []byte
	tags  insideTags
	rate  float64
	value float64 // the next value
	rest  []byte  // the values after it, all valid numbers
	more  bool
}

// Parse parses one line of StatsD or DogStatsD, without its newline, into l:
//
//	name:value[:value...]|type[|@rate][|#tag:v,...][|c:...][|T...]
//
// A DogStatsD line may have several values; [Line.Next] returns an event for each. If
// one of them is invalid, the whole line is. The app is the tag "app" if that is not
// empty, else the prefix before the server's name, cleaned like the names of discovered
// apps ([text.Name]). The error is one of [ErrShape], [ErrValue], [ErrRate], [ErrType],
// [ErrSize] and [ErrUnknown]. Parse does not allocate, and l points into line.
func Parse(line []byte, l *Line) error {
	l.event, l.code, l.tags, l.rate, l.more = ingest.Event{}, nil, insideTags{}, 1, false
	if len(line) > maxLine {
		return ErrSize
	}
	if hasPrefix(line, "_e{") || hasPrefix(line, "_sc|") {
		return ErrUnknown // DogStatsD's events and service checks
	}
	name, rest, ok := splitName(line)
	if !ok || len(name) == 0 {
		return ErrShape
	}
	values, rest, ok := cut(rest, '|')
	if !ok || len(values) == 0 {
		return ErrShape
	}
	kind, rest, more := cut(rest, '|')
	if !isType(kind) {
		return ErrType
	}
	if err := l.parseSections(rest, more); err != nil {
		return err
	}
	if err := l.interpret(name, kind); err != nil {
		return err
	}
	return l.parseValues(values, len(kind) == 1 && kind[0] == 'g')
}

// splitName returns a line before and after the colon that ends its name; ok is false if it
// has no colon. A colon in the prefix of a server's name, as with "--statsd-prefix
// shop:blue", is part of the name.
func splitName(line []byte) (name, rest []byte, ok bool) {
	name, rest, ok = cut(line, ':')
	if !ok {
		return nil, nil, false
	}
	head, _, _ := cut(rest, '|')
	if i := lastServer(head); i >= 0 {
		if end := bytes.IndexByte(head[i:], ':'); end >= 0 {
			end += len(name) + 1 + i
			return line[:end:end], line[end+1:], true
		}
	}
	return name, rest, true
}

// The prefixes of the servers, whose lines are otherwise the same.
const (
	gunicorn  = "gunicorn."
	hypercorn = "hypercorn."
)

// lastServer returns where the last "gunicorn." or "hypercorn." that follows a dot begins; −1
// if there is none.
func lastServer(name []byte) int {
	const end = "corn." // of both; searching from the front is faster
	found := -1
	for at := 0; ; {
		i := bytes.Index(name[at:], []byte(end))
		if i < 0 {
			return found
		}
		at += i + len(end)
		for _, server := range [...]string{gunicorn, hypercorn} {
			if b := at - len(server); b > 0 && name[b-1] == '.' && string(name[b:at]) == server {
				found = b
			}
		}
	}
}

// afterServer returns name without the server's prefix; false if it has none.
func afterServer(name []byte) ([]byte, bool) {
	if hasPrefix(name, gunicorn) {
		return name[len(gunicorn):], true
	}
	if hasPrefix(name, hypercorn) {
		return name[len(hypercorn):], true
	}
	return nil, false
}

// Next sets e to the line's next event and reports whether there was one. An
// event's Seconds is a time in seconds; its Weight is 1/rate for a time,
// value/rate for a counter, and 1 for what is ignored.
func (l *Line) Next(e *ingest.Event) bool {
	if !l.more {
		return false
	}
	*e = l.event
	l.event.Again = true
	switch e.Kind {
	case ingest.Duration, ingest.Request, ingest.QueueTime, ingest.PoolWait, ingest.TaskRun:
		e.Seconds, e.Weight = l.value/1000, 1/l.rate
	case ingest.Status, ingest.Log:
		e.Weight = l.value / l.rate
	case ingest.Ignored:
		e.Weight = 1
	}
	l.advance()
	return true
}

// advance sets l.value to the line's next value; l.more is false if there is none.
func (l *Line) advance() {
	if l.more = len(l.rest) > 0; l.more {
		v, rest, _ := cut(l.rest, ':')
		l.value, _ = number(v)
		l.rest = rest
	}
}

// parseSections sets the rate and the tags by the sections after the type, and ignores
// all others. ErrRate: the rate is not from 0.0001 to 1, or given twice.
func (l *Line) parseSections(rest []byte, more bool) error {
	rated := false
	for more {
		var s []byte
		s, rest, more = cut(rest, '|')
		if len(s) == 0 {
			continue
		}
		switch s[0] {
		case '@':
			r, ok := number(s[1:])
			if rated || !ok || r < minRate || r > 1 {
				return ErrRate
			}
			l.rate, rated = r, true
		case '#':
			l.parseTags(s[1:])
		}
	}
	return nil
}

// parseTags sets the values of the known tags. An empty app is ignored.
func (l *Line) parseTags(rest []byte) {
	for more := true; more; {
		var tag []byte
		tag, rest, more = cut(rest, ',')
		key, value, ok := cut(tag, ':')
		if !ok {
			continue
		}
		switch string(bytes.TrimLeft(key, " ")) {
		case "app":
			if len(value) > 0 {
				l.event.App = value
			}
		case "method":
			l.event.Method = value
		case "route":
			l.event.Route = value
		case "code":
			l.code = value
		case "pool":
			l.tags.pool = value
		case "task":
			l.tags.task = value
		case "outcome":
			l.tags.outcome = value
		}
	}
}

// interpret sets the kind and the app of the event by the name. ErrUnknown: the name is
// none that is used, or the type is none of that kind. ErrShape: the name, the method, the
// route or a tag is invalid. ErrValue: the status code or the outcome is.
func (l *Line) interpret(name, kind []byte) error {
	app, err := l.setKind(name)
	if err != nil {
		return err
	}
	if l.event.App == nil {
		l.event.App = app
	}
	l.event.App = text.NameBytes(l.event.App, &l.app)
	if l.event.Kind != ingest.Request {
		l.event.Method, l.event.Route = nil, nil
	} else if !utf8.Valid(l.event.Method) || !utf8.Valid(l.event.Route) {
		return ErrShape
	}
	fits := true
	switch l.event.Kind {
	case ingest.Duration, ingest.Request, ingest.QueueTime, ingest.PoolWait, ingest.TaskRun:
		fits = isTime(kind)
	case ingest.Status, ingest.Log:
		fits = kind[0] == 'c'
	case ingest.Ignored:
		fits = kind[0] != 's'
	}
	if !fits {
		return ErrUnknown
	}
	return nil
}

// setKind sets the event's kind by the name, and returns the prefix of --statsd-prefix
// before the server's name; nil if there is none. ErrUnknown: the name is none that is
// used; ErrShape if it is not valid either, see unknownName. Other errors are those of
// setCode and of the tags.
func (l *Line) setKind(name []byte) ([]byte, error) {
	if rest, ok := afterServer(name); ok {
		if err := l.setServerKind(rest); !errors.Is(err, ErrUnknown) {
			return nil, err
		}
	}
	if string(name) == "resp.request" {
		l.event.Kind = ingest.Request
		return nil, l.setCode(l.code)
	}
	if hasPrefix(name, "resp.") {
		if known, err := l.tags.set(&l.event, name); known {
			return nil, err
		}
	}
	if i := lastServer(name); i >= 0 {
		rest, _ := afterServer(name[i:])
		prefix := bytes.TrimRight(name[:i], ".")
		return slices.Clip(prefix), l.setServerKind(rest)
	}
	// gunicorn adds no dot after a prefix of one letter.
	if rest, ok := afterServer(name[1:]); ok {
		return name[:1:1], l.setServerKind(rest)
	}
	return nil, unknownName(name)
}

// setServerKind sets the event's kind by a name without the server's prefix. ErrUnknown:
// the name is none that is used. ErrValue: its status code is none.
func (l *Line) setServerKind(rest []byte) error {
	switch string(rest) {
	case "request.duration":
		l.event.Kind = ingest.Duration
		return nil
	case "requests", "workers", "backlog":
		l.event.Kind = ingest.Ignored
		return nil
	case "log.critical", "log.error", "log.warning", "log.exception":
		l.event.Kind = ingest.Log
		l.event.Level = rest[len("log."):]
		return nil
	}
	const status = "request.status."
	switch {
	case hasPrefix(rest, status):
		l.event.Kind = ingest.Status
		return l.setCode(rest[len(status):])
	case hasPrefix(rest, "log."):
		l.event.Kind = ingest.Ignored
		return nil
	}
	return ErrUnknown
}

// setCode sets the status code of the event. ErrValue: it is not 100 to 599. ErrShape:
// there is none.
func (l *Line) setCode(b []byte) error {
	if b == nil {
		return ErrShape // resp.request without its code
	}
	if len(b) != 3 || b[0] < '1' || b[0] > '5' || !isDigit(b[1]) || !isDigit(b[2]) {
		return ErrValue
	}
	l.event.Code = int(b[0]-'0')*100 + int(b[1]-'0')*10 + int(b[2]-'0')
	return nil
}

// parseValues checks every value and sets the first. ErrValue: one is no number or, unless
// the event is ignored, too large. Only gauges may be signed, which means a difference; no
// gauge is used.
func (l *Line) parseValues(values []byte, signed bool) error {
	limit := maxSeconds * 1000
	if l.event.Kind == ingest.Status || l.event.Kind == ingest.Log {
		limit = maxCount
	}
	first := true
	for more := true; more; {
		var v []byte
		v, values, more = cut(values, ':')
		if signed && len(v) > 1 && (v[0] == '-' || v[0] == '+') {
			v = v[1:]
		}
		n, ok := number(v)
		if !ok || n > limit && l.event.Kind != ingest.Ignored {
			return ErrValue
		}
		if first {
			first, l.value, l.rest = false, n, values
		}
	}
	l.more = true
	if l.event.Kind == ingest.Ignored {
		l.rest = nil // one event is enough
	}
	return nil
}

// Packet is the unread rest of one datagram.
type Packet []byte

// Next removes the next line that is not empty from the packet and returns it without its
// newline and a carriage return before that; false at the end.
func (p *Packet) Next() (line []byte, ok bool) {
	for len(*p) > 0 {
		line, rest, _ := cut(*p, '\n')
		*p = rest
		if n := len(line); n > 0 && line[n-1] == '\r' {
			line = line[: n-1 : n-1]
		}
		if len(line) > 0 {
			return line, true
		}
	}
	return nil, false
}
