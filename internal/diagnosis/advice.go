package diagnosis

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// maxNamed bounds how many workers of an app an advice names.
const maxNamed = 8

// Advice returns one line of text: what to do about the root of a chain, and which workers
// to leave alone because they only wait; of a deadlock, how to end it, without the workers.
// "": the chain has no links.
func Advice(c *model.Chain) string {
	if len(c.Links) == 0 {
		return ""
	}
	if c.Deadlock {
		return circleAdvice(c)
	}
	out := rootAdvice(c, &c.Links[len(c.Links)-1])
	if spare := spareText(c); spare != "" {
		out += " " + spare
	}
	return out
}

// Cause returns the identity of the root of a chain, or of the first party of a deadlock,
// e.g. "mysql:main/connection:812": the same for all chains with that root, so that advice about
// it is given once; a worker, a server or an address has one for each kind of wait. "": the chain
// has no links.
func Cause(c *model.Chain) string {
	if len(c.Links) == 0 {
		return ""
	}
	l := &c.Links[len(c.Links)-1]
	if c.Deadlock {
		l = &c.Links[0]
	}
	switch {
	case l.Connection != 0 && c.Kind != kindLock && c.Kind != kindGIL:
		return fmt.Sprintf("%s/connection:%d", l.Server, l.Connection)
	case l.Slot != "":
		return fmt.Sprintf("%s/worker:%s/%s", l.App, l.Slot, c.Kind)
	case l.App != "":
		return "app:" + l.App
	case l.Host != "":
		return l.Server + "/client:" + l.Host
	}
	return l.Server + l.Peer + "/" + c.Kind
}

// circleAdvice returns how to end a deadlock, and how to avoid the next one.
func circleAdvice(c *model.Chain) string {
	l := &c.Links[0]
	switch place := Place(l.Stack); {
	case len(c.Links) == 1 && l.Connection != 0:
		return fmt.Sprintf("End connection %d. Let a request have one connection to a server at a time.", l.Connection)
	case len(c.Links) == 1 && l.App != "":
		return "Do not let " + clean(l.App) + " call itself in a request, or run more workers."
	case c.On == "upstream":
		return fmt.Sprintf("End the request of %s: the others go on then. Do not let apps call each other in a circle.", partyText(l, ""))
	case place != "":
		return fmt.Sprintf("End %s: the others go on then. Take these locks in one order everywhere; %s is one place.", partyText(l, ""), place)
	}
	return fmt.Sprintf("End %s: the others go on then. Take these locks in one order everywhere.", partyText(l, ""))
}

// rootAdvice returns a sentence that says what to do about l, the root of a chain that is
// no deadlock.
func rootAdvice(c *model.Chain, l *model.Link) string {
	look := ""
	if place := Place(l.Stack); place != "" {
		look = place
	}
	if advice := serverAdvice(c, l); advice != "" {
		return advice
	}
	mysql, redis := strings.HasPrefix(l.Server, "mysql:"), strings.HasPrefix(l.Server, "redis:")
	switch {
	case mysql && l.Connection != 0:
		return connectionAdvice(l, look)
	case redis && (l.Connection != 0 || c.Kind == kindScript || c.Kind == kindSlow):
		return redisAdvice(c, l, look)
	case l.Slot != "" && look != "" && l.On == "upstream":
		return "Look at what " + look + " calls, and give the call a timeout."
	case l.Slot != "" && look != "":
		return "Look at " + look + "."
	case l.Slot != "":
		return "Find out what the threads of " + partyText(l, "") + " do."
	case l.App != "":
		return "Check the app " + clean(l.App) + "."
	case mysql: // no connection is known
		return "SHOW FULL PROCESSLIST shows the statements of " + serverText(l) + "."
	case redis:
		return "SLOWLOG GET lists the slow commands of " + serverText(l) + "."
	}
	return "Find out why " + serverText(l) + " is slow, and give the call a timeout."
}

// serverAdvice returns what to do about a server that can serve no client, e.g. because
// all its connections are taken, or about a command that waits for data; "" for any other
// kind of wait.
func serverAdvice(c *model.Chain, l *model.Link) string {
	switch {
	case c.Kind == kindFull && l.Held > 0:
		return "Return idle connections of " + partyText(l, "") + ", or make its pool smaller, before you raise max_connections."
	case c.Kind == kindFull:
		return "Return idle connections to " + serverText(l) + ", or make pools smaller, before you raise max_connections."
	case c.Kind == kindDown:
		return "Check that " + serverText(l) + " runs and can be reached."
	case c.Kind == kindBlocking:
		return "Find out why nothing is written for it, and give the command a timeout."
	}
	return ""
}

// connectionAdvice returns a sentence that says how to end what the connection l of a
// MySQL server holds, of a probable one to check it first. look is the line of code that
// uses it; "": not known.
func connectionAdvice(l *model.Link, look string) string {
	kill := fmt.Sprintf("KILL %d on %s", l.Connection, serverText(l))
	out := fmt.Sprintf("End connection %d (%s)", l.Connection, kill)
	if l.Slot == "" && l.User != "" {
		out = fmt.Sprintf("Let user %s from %s end its transaction, or end connection %d (%s)", quoted(l.User), clean(l.Host), l.Connection, kill)
	}
	switch {
	case l.Probable:
		return fmt.Sprintf("Check connection %d first, and end it if it is the one (%s).", l.Connection, kill)
	case look == "":
		return out + "."
	case l.On == "upstream":
		return out + ", or look at what " + look + " calls."
	}
	return out + ", or look at " + look + "."
}

// redisAdvice returns a sentence that says what to do about the script or command that
// holds up a Redis server; of a command that it does not know, to let it finish. look is
// the line of code that it comes from; "": not known.
func redisAdvice(c *model.Chain, l *model.Link, look string) string {
	command := l.Command
	if c.Kind == kindSlow {
		command = cmp.Or(c.Object, command)
	}
	out := "Let it finish, and replace it by commands that work in small steps"
	switch command = strings.ToLower(command); {
	case c.Kind == kindScript || strings.HasPrefix(command, "eval"):
		out = "SCRIPT KILL on " + serverText(l) + " ends the script if it has written nothing"
	case strings.HasPrefix(command, "fcall"):
		out = "FUNCTION KILL on " + serverText(l) + " ends the function if it has written nothing"
	case command == "keys":
		out = "Replace KEYS by SCAN"
	}
	if look != "" {
		out += ": it comes from " + look
	}
	return out + "."
}

// spareText returns a sentence that names the workers that only wait, which are not to be
// ended, of each app maxNamed and how many more; "": there are none. It omits those that
// wait for an address that is neither a store nor a watched app: whether that will ever
// answer is unknown.
func spareText(c *model.Chain) string {
	roots := make(map[string]bool)
	if l := &c.Links[len(c.Links)-1]; l.Slot != "" {
		roots[l.App+"/"+clean(l.Slot)] = true
	}
	var apps []string
	seen := make(map[string]bool)
	one, n := "it waits", 0
	victims := slices.DeleteFunc(slices.Clone(c.Victims), func(v model.Link) bool { return unknownAddress(&v) })
	for i := range victims {
		app := victims[i].App
		if seen[app] {
			continue
		}
		seen[app] = true
		var slots []string
		for _, slot := range slotsOf(victims, app) {
			if !roots[app+"/"+slot] {
				slots = append(slots, slot)
			}
		}
		if n += len(slots); len(slots) > maxNamed {
			slots = append(slots[:maxNamed:maxNamed], fmt.Sprintf("%d more", len(slots)-maxNamed))
		}
		switch len(slots) {
		case 0:
		case 1:
			apps = append(apps, "worker "+slots[0]+" of "+clean(app))
		default:
			apps = append(apps, "workers "+text.Enumerate(slots)+" of "+clean(app))
		}
	}
	if n > 1 {
		one = "they wait"
	}
	if len(apps) == 0 {
		return ""
	}
	return "Do not end " + text.Enumerate(apps) + ": " + one + " for it."
}
