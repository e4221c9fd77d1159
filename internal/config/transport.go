package config

import "strings"

// Transport is how a store is reached, without its host: what an administrator
// must know to repair the connection, and no password.
type Transport struct {
	Socket   string // path of the UNIX socket; "" for TCP
	TLS      bool   // asked for
	User     string // of the login; "": none. Show it to an administrator only
	Password bool   // the address itself holds a password
}

// String returns "by TCP", "by TLS" or "by a UNIX socket".
func (w Transport) String() string {
	switch {
	case w.Socket != "":
		return "by a UNIX socket"
	case w.TLS:
		return "by TLS"
	default:
		return "by TCP"
	}
}

// Transport returns how the exporter connects by a checked DSN, with user and encryption;
// that of the fallbacks may differ. It is zero if the DSN cannot be parsed.
func (m MySQL) Transport() Transport {
	cfg, _ := ParseDSN(m.DSN)
	if cfg == nil {
		return Transport{}
	}
	w := Transport{TLS: cfg.TLS != nil, User: cfg.User, Password: cfg.Passwd != ""}
	if cfg.Net == "unix" {
		w.Socket = cfg.Addr
	}
	return w
}

// Transport returns how the exporter connects by a checked URL, with user and encryption.
// It is zero if the URL cannot be parsed.
func (r Redis) Transport() Transport {
	u, err := ParseRedisURL(r.URL)
	if err != nil {
		return Transport{}
	}
	w := Transport{TLS: u.TLS, User: u.User, Password: u.Password != ""}
	if len(u.Addrs) == 1 && strings.HasPrefix(u.Addrs[0], "/") {
		w.Socket = u.Addrs[0]
	}
	return w
}
