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
	var w Way
	s := string(m.DSN)
	slash := strings.LastIndexByte(s, '/')
	if slash < 0 {
		return w
	}
	front, back := s[:slash], s[slash+1:]
	at := strings.LastIndexByte(front, '@')
	if at >= 0 {
		var password string
		w.User, password, _ = strings.Cut(front[:at], ":")
		w.Password = password != ""
	}
	if found := dsnAddress.FindStringSubmatch(front[at+1:]); found != nil {
		w.Socket = found[2]
	}
	_, params, _ := strings.Cut(back, "?")
	for p := range strings.SplitSeq(params, "&") {
		if value, ok := strings.CutPrefix(p, "tls="); ok && value != "false" {
			w.TLS = true
		}
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
