package config

import "strings"

// Way is how a store is reached, without its host. It tells what a person who
// repairs it must know, and no password.
type Way struct {
	Socket   string // path of the UNIX socket; "" for TCP
	TLS      bool   // asked for
	User     string // who logs in; "" for nobody. Show it to an administrator only
	Password bool   // the address itself holds a password
}

// String is the way in words: "by TCP", "by TLS" or "by a UNIX socket".
func (w Way) String() string {
	switch {
	case w.Socket != "":
		return "by a UNIX socket"
	case w.TLS:
		return "by TLS"
	default:
		return "by TCP"
	}
}

// Way returns the way of a checked DSN; that of the fallbacks may differ.
func (m MySQL) Way() Way {
	cfg, err := ParseDSN(m.DSN)
	if err != nil {
		return Way{}
	}
	w := Way{TLS: cfg.TLS != nil, User: cfg.User, Password: cfg.Passwd != ""}
	if cfg.Net == "unix" {
		w.Socket = cfg.Addr
	}
	return w
}

// Way returns the way of a checked URL.
func (r Redis) Way() Way {
	u, err := ParseRedisURL(r.URL)
	if err != nil {
		return Way{}
	}
	w := Way{TLS: u.TLS, User: u.User, Password: u.Password != ""}
	if len(u.Addrs) == 1 && strings.HasPrefix(u.Addrs[0], "/") {
		w.Socket = u.Addrs[0]
	}
	return w
}
