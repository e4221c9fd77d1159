package conns

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Service is a server that the configuration names.
type Service struct {
	Component string   // what its connections are counted as: "mysql:main"
	Kind      string   // of the server: "mysql", "redis"
	Addrs     []string // host:port; a host that is a name is resolved
	Paths     []string // of UNIX sockets
}

// wellKnown has the default ports of kinds of servers.
var wellKnown = map[uint16]string{ //nolint:gochecknoglobals // a table that nothing changes
	3306: "mysql", 6033: "mysql", // the protocol, ProxySQL's front; the X protocol's 33060 is also a client's port
	5432: "postgresql", 6432: "postgresql", // and PgBouncer's front
	6379: "redis", 6380: "redis", 26379: "redis", // plain, TLS, Sentinel
	11211: "memcached",
	5672:  "amqp", 5671: "amqp", // plain, TLS
	27017: "mongodb",
}

const (
	// resolveAge is how long the addresses of a host name are kept.
	resolveAge = time.Minute
	// resolveLimit is the timeout of one lookup of a name. It runs in the
	// background.
	resolveLimit = 2 * time.Second
	// maxAddrs is how many addresses of one name are used.
	maxAddrs = 16
)

// serviceIndex maps addresses and socket paths to servers.
type serviceIndex struct {
	services []Service
	lookup   func(ctx context.Context, host string) ([]netip.Addr, error)

	resolved time.Time
	exact    map[netip.AddrPort]string // component
	paths    map[string]string         // component
	kinds    map[uint16]string         // kind by port, the well-known ones included
}

// newServiceIndex returns an index of services; it is empty until resolve is
// called.
func newServiceIndex(services []Service) *serviceIndex {
	return &serviceIndex{services: services, lookup: func(ctx context.Context, host string) ([]netip.Addr, error) {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}}
}

// errNoLookup means that a host is a name and names are not looked up.
var errNoLookup = errors.New("host name lookup is disabled")

// unresolvedIndex returns an index of services that looks up no name: one whose host is a
// name has only its port and its kind.
func unresolvedIndex(services []Service) *serviceIndex {
	d := &serviceIndex{services: services}
	d.rebuild(func(host string) ([]netip.Addr, error) {
		if addrs := literalAddresses(host); len(addrs) > 0 {
			return addrs, nil
		}
		return nil, errNoLookup
	})
	return d
}

// snapshot returns the index as it is resolved, for other goroutines to read:
// each resolve makes new maps.
func (d *serviceIndex) snapshot() *serviceIndex {
	return &serviceIndex{exact: d.exact, paths: d.paths, kinds: d.kinds}
}

// resolve updates the addresses, at most once a minute. A service whose name cannot be
// resolved keeps its port, so that its connections keep their kind.
func (d *serviceIndex) resolve(ctx context.Context, now time.Time) {
	if d.exact != nil && now.Sub(d.resolved) < resolveAge {
		return
	}
	d.resolved = now
	d.rebuild(func(host string) ([]netip.Addr, error) { return d.addresses(ctx, host) })
}

// rebuild builds new maps, with the addresses of hosts that find returns.
func (d *serviceIndex) rebuild(find func(host string) ([]netip.Addr, error)) {
	before := d.exact
	d.exact, d.paths, d.kinds = make(map[netip.AddrPort]string), make(map[string]string), maps.Clone(wellKnown)
	for _, s := range d.services {
		for _, p := range s.Paths {
			d.paths[p] = s.Component
		}
		for _, a := range s.Addrs {
			d.add(s, a, before, find)
		}
	}
}

// add adds one host:port of a service. before has the addresses of the last time, which
// are kept if find fails, as while a resolver is down. An address that cannot be parsed
// is skipped.
func (d *serviceIndex) add(s Service, address string, before map[netip.AddrPort]string, find func(host string) ([]netip.Addr, error)) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return
	}
	port := uint16(n)
	if d.kinds[port] == "" {
		d.kinds[port] = s.Kind
	}
	addrs, err := find(host)
	for _, a := range addrs[:min(len(addrs), maxAddrs)] {
		at := netip.AddrPortFrom(a.Unmap().WithZone(""), port)
		if d.exact[at] == "" {
			d.exact[at] = s.Component
		}
	}
	if err == nil {
		return
	}
	for at, component := range before { // a failing resolver must not rename connections
		if component == s.Component && at.Port() == port && d.exact[at] == "" {
			d.exact[at] = component
		}
	}
}

// literalAddresses returns the addresses of a host that needs no lookup: an IP address or
// localhost (127.0.0.1 and ::1); nil for any other name.
func literalAddresses(host string) []netip.Addr {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}
	}
	if strings.EqualFold(host, "localhost") {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	}
	return nil
}

// addresses returns the addresses of a host. A name is looked up, for at most
// resolveLimit.
func (d *serviceIndex) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if addrs := literalAddresses(host); len(addrs) > 0 {
		return addrs, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveLimit)
	defer cancel()
	return d.lookup(ctx, host)
}

// ports returns the remote ports at which a server may be, sorted.
func (d *serviceIndex) ports() []uint16 { return slices.Sorted(maps.Keys(d.kinds)) }

// component returns the component at the address of a TCP connection: the configured
// server with that address ("mysql:main"), else the kind of server by the port ("mysql"),
// else "".
func (d *serviceIndex) component(to netip.AddrPort) string {
	if c := d.exact[to]; c != "" {
		return c
	}
	return d.kinds[to.Port()]
}

// pathComponent returns what the path of a UNIX socket leads to: the configured server
// with that path, else the kind of server by the file's name, else "".
func (d *serviceIndex) pathComponent(p string) string {
	if c := d.paths[p]; c != "" {
		return c
	}
	base := path.Base(p)
	switch {
	case base == "mysqld.sock" || base == "mysql.sock" || base == "mysqlx.sock" || base == "mariadb.sock":
		return "mysql"
	case strings.HasPrefix(base, ".s.PGSQL."):
		return "postgresql"
	case strings.HasPrefix(base, "redis") && strings.HasSuffix(base, ".sock"):
		return "redis"
	case strings.HasPrefix(base, "memcached") && strings.HasSuffix(base, ".sock"):
		return "memcached"
	case strings.HasPrefix(base, "mongodb-") && strings.HasSuffix(base, ".sock"):
		return "mongodb"
	default:
		return ""
	}
}
