package serve

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
)

const maxName = 253 // characters of a host name

// Hosts checks by which host name a browser reached the exporter. A page of
// another site whose name was made to resolve to the exporter's address (DNS
// rebinding) could otherwise read all that is served here.
type Hosts struct {
	names   map[string]bool
	login   func() bool
	refused atomic.Uint64
}

// HostOptions are the settings of [NewHosts].
type HostOptions struct {
	Own         []string    // names of this host
	ExternalURL string      // its host is allowed; "": none
	Allowed     []string    // further names
	Login       func() bool // whether every request has passed a login; nil: never
}

// NewHosts returns a check that accepts IP addresses, localhost and the names of o. It
// leaves out own names, and that of ExternalURL, that are no host names. Its error: a name
// of Allowed is none, or ExternalURL is no URL.
func NewHosts(o HostOptions) (*Hosts, error) {
	h := &Hosts{names: map[string]bool{"localhost": true}, login: o.Login}
	for _, n := range o.Own {
		if name, err := hostName(n); err == nil { // a kernel may have any name
			h.names[name] = true
		}
	}
	for _, n := range o.Allowed {
		name, err := hostName(n)
		if err != nil {
			return nil, fmt.Errorf("--web.allowed-host: %w, got %q", err, n)
		}
		h.names[name] = true
	}
	if o.ExternalURL != "" {
		u, err := url.Parse(o.ExternalURL)
		if err != nil {
			return nil, fmt.Errorf("--web.external-url: %w", err)
		}
		if name, err := hostName(u.Hostname()); err == nil {
			h.names[name] = true
		}
	}
	return h, nil
}

var errName = errors.New("expected a host name such as resp.example.com, without port, in ASCII (xn--… for other letters)")

// hostName returns a configured name in the form in which names are compared: in lower
// case, without a dot at its end. errName: it is no host name.
func hostName(name string) (string, error) {
	s := strings.ToLower(strings.TrimSuffix(name, "."))
	if s == "" || len(s) > maxName || strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_'
	}) {
		return "", errName
	}
	return s, nil
}

// Allows reports whether a Host header, with or without a port, names the exporter: an IP
// address, localhost or a name of the options. An empty one does: no browser sends that.
func (h *Hosts) Allows(host string) bool {
	if host == "" {
		return true
	}
	name := host
	if n, port, err := net.SplitHostPort(host); err == nil {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil && port != "" {
			return false
		}
		name = n
	} else if inner, ok := strings.CutPrefix(host, "["); ok {
		name = strings.TrimSuffix(inner, "]")
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	s, err := hostName(name)
	return err == nil && h.names[s]
}

// Refused returns how many requests were refused since the start.
func (h *Hosts) Refused() uint64 { return h.refused.Load() }

// Guard returns a handler that passes to next what comes with a host that [Hosts.Allows],
// over no TCP connection, or while every request needs a login; it answers 403 to all
// other requests.
func (h *Hosts) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !h.accepts(r) {
			h.refuse(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// GuardBrowsers returns a handler that checks the host as [Hosts.Guard] does, but only of
// requests with a header that every browser adds to a POST and other clients do not send.
// It is for what programs reach by any name.
func (h *Hosts) GuardBrowsers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fromBrowser(r) && !h.accepts(r) {
			h.refuse(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// fromBrowser reports whether a request has a header that only browsers send: Origin,
// Referer or Sec-Fetch.
func fromBrowser(r *http.Request) bool {
	for _, name := range []string{"Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Referer"} {
		if _, ok := r.Header[name]; ok {
			return true
		}
	}
	return false
}

// accepts reports whether a request may be answered: its host is allowed, it came over no
// TCP connection, or a login is required.
func (h *Hosts) accepts(r *http.Request) bool {
	if h.Allows(r.Host) {
		return true
	}
	// No browser speaks to a UNIX socket or to a socket of a virtual machine.
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && local.Network() != "tcp" {
		return true
	}
	return h.login != nil && h.login()
}

// refuse counts a request and answers it with status 403.
func (h *Hosts) refuse(w http.ResponseWriter) {
	h.refused.Add(1)
	http.Error(w, "Host name not allowed. Use the IP address, or start the exporter with --web.allowed-host=NAME.", http.StatusForbidden)
}
