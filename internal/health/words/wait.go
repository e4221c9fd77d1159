// Package words says in words what workers wait for and whose connections there are.
package words

import (
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// Wait returns a wait in words, e.g. "waits for MySQL main", or "wait for …" unless one is
// set; "" if it is not known, or is of another kind than these, such as "other".
func Wait(x *model.Wait, one bool) string {
	if x == nil {
		return ""
	}
	waits := Choose(one, "waits", "wait") + " for "
	switch x.On {
	case "mysql":
		return waits + storeName("MySQL", x.On, x.Peer)
	case "redis":
		return waits + storeName("Redis", x.On, x.Peer)
	case "upstream":
		if app, ok := strings.CutPrefix(x.Peer, "app:"); ok {
			return waits + "the app " + app
		}
		return waits + orText(x.Peer, "another server")
	case "client":
		return waits + "its client"
	case "lock":
		return waits + "a lock of its process"
	case "disk":
		return waits + "the disk"
	case "sleep":
		return Choose(one, "sleeps", "sleep")
	case "child":
		return waits + "a child process"
	case "cpu":
		return Choose(one, "computes", "compute")
	}
	return ""
}

// storeName returns the word for a kind of store and the name in its peer: "MySQL main" for
// mysql:main. A peer of another form, such as an address, follows the word whole; for "" it
// is the word alone.
func storeName(word, kind, peer string) string {
	name, _ := strings.CutPrefix(peer, kind+":")
	return strings.TrimSpace(word + " " + name)
}

// orText returns s, or otherwise if s is empty.
func orText(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Choose returns singular if one is true, else plural.
func Choose(one bool, singular, plural string) string {
	if one {
		return singular
	}
	return plural
}
