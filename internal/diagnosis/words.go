package diagnosis

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// maxWord bounds a name from outside in a sentence, in bytes.
const maxWord = 100

// clean returns a text without control characters, of at most maxWord bytes, as [text.Label]
// does: one that had to be changed ends with a hash.
func clean(s string) string { return text.Label(s, maxWord) }

// quoted returns a name that any user of a server may have chosen, of at most maxWord
// bytes, in quotes unless it is a plain word.
func quoted(s string) string { return text.Quoted(s, maxWord) }

// File returns the name of a source file as it is shown: its base name, with its directory
// if that is __init__.py, __main__.py or views.py; "" if the path has no file name.
func File(path string) string {
	base := filepath.Base(path)
	switch base {
	case "__init__.py", "__main__.py", "views.py":
		if dir := filepath.Base(filepath.Dir(path)); dir != "." && dir != "/" {
			base = dir + "/" + base
		}
	case ".", "/":
		return ""
	}
	return clean(base)
}

// Place returns the line of the app's own code in which a thread is, or else the
// innermost one, such as "billing.py:131"; "" where neither is known.
func Place(s *model.Stack) string {
	if s == nil {
		return ""
	}
	f := s.Own
	if f.File == "" {
		f = s.Inner
	}
	if f.File == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d", File(f.File), f.Line)
}

// where returns in which view or function a thread is, with its line, e.g. "refund
// (billing.py:131)"; "" if neither is known.
func where(s *model.Stack) string {
	place := Place(s)
	if s == nil {
		return ""
	}
	name := cmp.Or(s.View, s.Own.Function, s.Inner.Function)
	switch {
	case name == "":
		return place
	case place == "":
		return clean(name)
	}
	return clean(name) + " (" + place + ")"
}

// target returns what is waited for in words, e.g. "MySQL main"; "something" for any other
// kind.
func target(on, peer string) string {
	kind, name, _ := strings.Cut(peer, ":")
	switch on {
	case "mysql":
		if kind == on {
			return "MySQL " + clean(name)
		}
		return strings.TrimSuffix("MySQL at "+clean(peer), " at ")
	case "redis":
		if kind == on {
			return "Redis " + clean(name)
		}
		return strings.TrimSuffix("Redis at "+clean(peer), " at ")
	case "upstream":
		if kind == "app" {
			return "the app " + clean(name)
		}
		return cmp.Or(clean(peer), "another server")
	case "gil":
		return "the interpreter's lock"
	case "lock":
		return "a lock of its process"
	}
	return "something"
}

// objectOf returns which part of a server is waited for, to follow a colon, e.g. "a row
// of shop.orders"; "" if that is not known.
func objectOf(kind, object string) string {
	name := clean(object)
	switch kind {
	case "row":
		return strings.TrimSuffix("a row of "+name, " of ")
	case "metadata":
		return "the metadata lock of " + cmp.Or(name, "a table")
	case "table":
		return "a lock of " + cmp.Or(name, "a table")
	case "global":
		return "the global read lock"
	case kindScript:
		return "a script runs in it"
	case kindSlow:
		return strings.TrimSuffix("a slow command, "+strings.ToUpper(name), ", ")
	case kindFull:
		return "all its connections are in use"
	case kindDown:
		return "it does not answer the exporter either"
	case kindBlocking:
		return "a command that waits for data"
	}
	return name
}

// does returns what a party does, to follow its subject, e.g. "waits for MySQL main"; ""
// if that is not known.
func does(l *model.Link) string {
	switch l.On {
	case "mysql", "redis":
		if what := statement(l); what != "" && l.Peer == l.Server && l.Object == "" {
			return what
		}
		return "waits for " + target(l.On, l.Peer)
	case "upstream", "gil", "lock":
		out := "waits for " + target(l.On, l.Peer)
		if l.On == "upstream" && !strings.HasPrefix(l.Peer, "app:") && l.Peer != "" {
			out += ", no configured store"
		}
		return out
	case "cpu", "cpu_queue", "throttled":
		return "computes"
	case "gc":
		return "collects garbage"
	case "sleep":
		return "sleeps"
	case "disk":
		return "waits for the disk"
	case "client":
		return "waits for its client"
	case "child":
		return "waits for a child process"
	case "idle":
		return "has no request in hand"
	}
	return statement(l)
}

// statement returns what a connection does, to follow its subject, e.g. "runs SELECT …"
// or "sleeps"; "" if that is not known.
func statement(l *model.Link) string {
	switch {
	case strings.EqualFold(l.Command, "sleep"):
		return "sleeps"
	case l.Digest != "":
		return "runs " + clean(l.Digest)
	case l.Command != "" && strings.HasPrefix(l.Server, "redis:"):
		return "runs " + strings.ToUpper(clean(l.Command))
	case strings.EqualFold(l.Command, "query"):
		return "runs a statement"
	}
	return ""
}

// partyText returns a party in words, e.g. "connection 812 of worker 2", or a user or
// client host of no known app; its server or address if it has no more. After a worker, its
// app is left out if it is app, which the sentence is about.
func partyText(l *model.Link, app string) string {
	var out []string
	if l.Connection != 0 {
		out = append(out, fmt.Sprintf("connection %d", l.Connection))
	}
	switch {
	case l.Slot != "":
		out = append(out, "worker "+clean(l.Slot))
	case l.Connection != 0 && l.App != "" && l.PID != 0:
		out = append(out, fmt.Sprintf("process %d", l.PID))
	}
	switch {
	case len(out) == 0 && l.App != "":
		out = append(out, "the app "+clean(l.App))
	case l.App != "" && (l.Slot == "" || l.App != app):
		out = append(out, clean(l.App))
	case l.Slot == "" && l.User != "" && l.Host != "":
		out = append(out, "user "+quoted(l.User)+" from "+clean(l.Host))
	case l.Slot == "" && l.User != "":
		out = append(out, "user "+quoted(l.User))
	case l.App == "" && l.Host != "":
		out = append(out, "the client "+clean(l.Host))
	}
	if len(out) == 0 {
		return serverText(l)
	}
	return strings.Join(out, " of ")
}

// serverText returns in words a link that is nothing but a server or an address; "an
// unknown process" if it is neither.
func serverText(l *model.Link) string {
	switch kind, _, _ := strings.Cut(l.Server, ":"); {
	case l.Server != "":
		return target(kind, l.Server)
	case l.Peer != "":
		return clean(l.Peer)
	}
	return "an unknown process"
}

// upper returns s with its first letter, which is ASCII, in upper case.
func upper(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// slotsOf returns the slots of an app's workers in a list, 2 before 10, without
// duplicates.
func slotsOf(list []model.Link, app string) []string {
	var out []string
	for i := range list {
		if l := &list[i]; l.App == app && l.Slot != "" {
			out = append(out, clean(l.Slot))
		}
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) })
	return slices.Compact(out)
}

// choose returns singular if one is true, else plural.
func choose(one bool, singular, plural string) string {
	if one {
		return singular
	}
	return plural
}
