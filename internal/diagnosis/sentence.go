package diagnosis

import (
	"fmt"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// Sentence returns a chain in one to five sentences: who waits for what and for how
// long, and who holds it. They are about the workers of app; if app is "" or none of the
// victims', about those of the app with most victims.
func Sentence(c *model.Chain, app string) string {
	if app == "" || !slices.ContainsFunc(c.Victims, func(v model.Link) bool { return v.App == app }) {
		app = c.App
	}
	out := victimsText(c, app) + "."
	if c.Deadlock {
		return out + " " + circleText(c, app)
	}
	rest := linksText(c, app)
	if app != c.App && rest != "" {
		out += " Workers of " + clean(c.App) + " wait for " + target(c.On, c.Peer)
		if object := objectOf(c.Kind, c.Object); object != "" {
			out += ": " + object
		}
		out += "."
	}
	if rest != "" {
		out += " " + rest
	}
	return out
}

// victimsText returns who of an app waits for what and for how long, without a full stop;
// "Nobody waits" if it has no victim. Threads of the app that wait for something else, but
// because of the same root, are counted at the end.
func victimsText(c *model.Chain, app string) string {
	same, others := victimsOf(c, app)
	if len(same) == 0 {
		return "Nobody waits"
	}
	v := &same[0]
	what, object := target(v.On, v.Peer), ""
	if app == c.App {
		what, object = target(c.On, c.Peer), objectOf(c.Kind, c.Object)
	}
	slots := slotsOf(same, app)
	var out string
	switch n := len(same); {
	case n == 1:
		out = fmt.Sprintf("%s waits for %s for %s", upper(partyText(&model.Link{App: v.App, Slot: v.Slot}, "")), what, text.Seconds(v.Seconds))
	case len(slots) == 1:
		out = fmt.Sprintf("%d threads of worker %s of %s wait for %s, longest %s", n, slots[0], clean(app), what, text.Seconds(v.Seconds))
	case app == c.App && c.Workers >= len(slots):
		out = fmt.Sprintf("%d of %d workers of %s wait for %s, longest %s", len(slots), c.Workers, clean(app), what, text.Seconds(v.Seconds))
	default:
		out = fmt.Sprintf("%d workers of %s wait for %s, longest %s", len(slots), clean(app), what, text.Seconds(v.Seconds))
	}
	if object != "" {
		out += ": " + object
	}
	if others > 0 {
		out += fmt.Sprintf("; because of the same %s, %s of %s %s for something else", choose(c.Deadlock, "deadlock", "root"), text.Plural(float64(others), "other thread", "other threads"), clean(app), choose(others == 1, "waits", "wait"))
	}
	return out
}

// victimsOf returns the victims of an app that wait for what the sentence about the app
// names (the chain's own wait if it is the chain's app, else that of its first victim), the
// longest wait first, and how many others of the app there are.
func victimsOf(c *model.Chain, app string) (same []model.Link, others int) {
	on, peer := c.On, c.Peer
	if app != c.App {
		if i := slices.IndexFunc(c.Victims, func(v model.Link) bool { return v.App == app }); i >= 0 {
			on, peer = c.Victims[i].On, c.Victims[i].Peer
		}
	}
	for i := range c.Victims {
		switch v := &c.Victims[i]; {
		case v.App != app:
		case v.On == on && v.Peer == peer:
			same = append(same, *v)
		default:
			others++
		}
	}
	return same, others
}

// linksText returns sentences about who holds what the victims wait for: the first party,
// and the root if that is another one; "" if the root is only the server or address that
// they wait for.
func linksText(c *model.Chain, app string) string {
	last := len(c.Links) - 1
	if last < 0 {
		return ""
	}
	root := &c.Links[last]
	switch {
	case last == 0 && bare(root):
		return ""
	case last == 0 && (c.Kind == kindLock || c.Kind == kindGIL):
		return threadText(root)
	case last == 0:
		return upper(partyText(root, app)) + " " + verb(c.On, c.Kind, root) + stateText(root) + "."
	case bare(root) && direct(c, root, app):
		return ""
	}
	out := middleText(c, app)
	if bare(root) {
		if l := &c.Links[last-1]; last > 1 {
			out += " " + upper(partyText(l, app)) + inText(l) + " waits for " + serverText(root) + "."
		}
		return out
	}
	if on := c.Links[last-1].On; on != kindLock && on != kindGIL {
		return out + " " + upper(partyText(root, app)) + " " + verb(on, "", root) + stateText(root) + "."
	}
	return out + " " + threadText(root)
}

// direct reports whether the first victim of an app, which is not the chain's own app,
// waits for the root itself, a server or an address.
func direct(c *model.Chain, root *model.Link, app string) bool {
	i := slices.IndexFunc(c.Victims, func(v model.Link) bool { return v.App == app })
	return app != c.App && i >= 0 && c.Victims[i].Peer == root.Server+root.Peer
}

// middleText returns a sentence about the first party of a chain, what it holds and what it
// waits for, and if there are parties between it and the root, or some are left out, another
// one with their number. The chain must have two links at least.
func middleText(c *model.Chain, app string) string {
	first := &c.Links[0]
	out := upper(partyText(first, app)) + inText(first) + " " + verb(c.On, c.Kind, first) + " and itself waits for " + target(first.On, first.Peer)
	if first.Object != "" {
		out += " (" + clean(first.Object) + ")"
	}
	out += "."
	if between := len(c.Links) - 2 + c.Left; between > 0 {
		out += fmt.Sprintf(" %d more %s between them and the root.", between, choose(between == 1, "is", "are"))
	}
	return out
}

// threadText returns a sentence about which thread of the victims' own process holds the
// lock, or that this is not known.
func threadText(l *model.Link) string {
	switch {
	case l.TID == 0 && l.Candidates > 0:
		return fmt.Sprintf("It is not known which thread of worker %s ends the wait: %d of them %s a request in hand and %s not wait for it.", clean(l.Slot), l.Candidates,
			choose(l.Candidates == 1, "has", "have"), choose(l.Candidates == 1, "does", "do"))
	case l.TID == 0:
		return "It is not known which thread of worker " + clean(l.Slot) + " holds it."
	}
	return "Another thread of worker " + clean(l.Slot) + " " + verb("", "", l) + stateText(l) + "."
}

// bare reports whether a link is nothing but a server or an address: no app, worker,
// connection or client.
func bare(l *model.Link) bool {
	return l.App == "" && l.Slot == "" && l.Connection == 0 && l.User == "" && l.Host == ""
}

// verb returns what a party does with what is waited for, to follow its name: e.g.
// "probably holds it".
func verb(on, kind string, l *model.Link) string {
	probably := ""
	if l.Probable {
		probably = "probably "
	}
	switch {
	case kind == kindFull:
		return fmt.Sprintf("has most of them, %s", text.Short(l.Held))
	case on == "upstream" && l.Slot != "":
		return "has such a request in hand"
	case on == "upstream":
		return "does not answer"
	case on == "redis":
		return probably + "holds it up"
	}
	return probably + "holds it"
}

// inText returns in which code a party is, between commas, e.g. ", in refund
// (billing.py:131),"; "" if that is not known.
func inText(l *model.Link) string {
	if at := where(l.Stack); at != "" {
		return ", in " + at + ","
	}
	return ""
}

// stateText returns what the root does, to follow what it holds: ": it has its
// transaction open for 12 s and sleeps"; "" if that is not known.
func stateText(l *model.Link) string {
	subject := "it"
	if at := where(l.Stack); at != "" && l.On != "idle" {
		subject = "its request to " + at
		if l.Stack.View == "" {
			subject = "its thread in " + at
		}
	}
	var parts []string
	if l.Transaction != nil {
		parts = append(parts, "has its transaction open for "+text.Seconds(*l.Transaction))
	}
	if what := does(l); what != "" {
		parts = append(parts, what)
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + subject + " " + text.Enumerate(parts)
}

// circleText returns the sentence about a deadlock, with its parties, the first four and
// how many more, each of which waits for the next one; without names if there is only one.
func circleText(c *model.Chain, app string) string {
	var names []string
	for i := range c.Links {
		name := partyText(&c.Links[i], app)
		if at := where(c.Links[i].Stack); at != "" {
			name += " in " + at
		}
		names = append(names, name)
	}
	switch {
	case len(names) == 1 && c.On == "upstream":
		return "It is a deadlock: the app waits for itself, and no worker of it is free to answer."
	case len(names) < 2:
		return "It is a deadlock."
	}
	const most = 4
	if n := len(names) + c.Left; n > most {
		names = append(names[:most:most], fmt.Sprintf("%d more", n-most))
	}
	return "It is a deadlock: " + text.Enumerate(names) + " wait for each other in a circle."
}
