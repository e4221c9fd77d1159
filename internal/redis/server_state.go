package redis

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/reason"
)

// maxClientName bounds the name of a client and the path of its socket, in bytes.
const maxClientName = 256

// maxClients is the number of connections up to which CLIENT LIST is sent: with about 400
// bytes per connection, its reply is below the limit of one reply.
const maxClients = 2000

// ServerID distinguishes one Redis server, or the masters of one cluster, from every other,
// whatever its name or address: run_id of INFO, which is new after each start. The database
// is not part of it.
type ServerID string

// ServerState is which server answered, at which end of the connection, and
// which clients it lists.
type ServerState struct {
	ID   ServerID
	Peer netip.AddrPort // where the server is, as our connection reports; not valid for a UNIX socket
	Path string         // of the UNIX socket; "" for TCP
	DB   int

	Clients []Client // at most 2,000
	Hidden  string   // why Clients is not known, for people; "": it is
}

// Client is one connection to a server, from its CLIENT LIST. The client sets its name; the
// address is what the server's kernel reports.
type Client struct {
	Addr netip.AddrPort // the client's end; not valid where it came over a UNIX socket
	To   netip.AddrPort // the server's end; not valid before Redis 6.2
	Path string         // of the UNIX socket
	Name string         // "" for none; at most 256 bytes, else it is another one's
	DB   int
}

// Keyspace returns a text for the database that answers now, "SERVERID/DB", which is the
// same for two names of the configuration that lead to one. Its error is an [Error]; the
// text then identifies nothing.
func (s *Server) Keyspace(ctx context.Context) (string, error) {
	id, err := s.ServerID(ctx)
	return string(id) + "/" + strconv.Itoa(s.o.URL.DB), err
}

// ServerID returns an identifier of the server that answers now, which changes with a
// restart. Its error is an [Error].
func (s *Server) ServerID(ctx context.Context) (ServerID, error) {
	var ids []string
	err := s.Do(ctx, func(ctx context.Context, l *Link) (err error) {
		ids, err = runIDs(ctx, l)
		return err
	})
	if err != nil {
		return "", err
	}
	return JoinIDs(ids)
}

// JoinIDs returns the identifier of a server with these run_ids of its processes: sorted,
// with "+" between them. It sorts ids itself. The reason unsupported: there is none, or
// one is missing.
func JoinIDs(ids []string) (ServerID, error) {
	if len(ids) == 0 || slices.Contains(ids, "") {
		return "", &Error{Reason: reason.Unsupported, Detail: "does not report its run_id (INFO server)"}
	}
	slices.Sort(ids)
	return ServerID(strings.Join(ids, "+")), nil
}

// runIDs returns the run_id of the server, or of each master of a cluster, in no order;
// "" for one that does not report it. The reason unsupported: there are more than 1,000
// masters.
func runIDs(ctx context.Context, l *Link) ([]string, error) {
	ids := make(chan string, maxMasters)
	err := l.Each(ctx, func(ctx context.Context, c *redis.Client) error {
		reply, err := askInfo(ctx, l, c)
		if err != nil {
			return err
		}
		select {
		case ids <- infoField(reply, "run_id"):
		default: // a cluster of more than that is none that we can tell
			return &Error{Reason: reason.Unsupported, Detail: "has too many masters"}
		}
		return nil
	})
	close(ids)
	var out []string
	for id := range ids {
		out = append(out, id)
	}
	return out, err
}

// maxMasters bounds the masters of a cluster that are distinguished.
const maxMasters = 1000

// infoField returns a run_id in the reply of INFO, or another field of hexadecimal
// digits; "" if there is none.
func infoField(reply, key string) string {
	for line := range strings.Lines(reply) {
		if value, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), key+":"); ok {
			return IDText(value)
		}
	}
	return ""
}

// IDText returns s if it is an id of at most 64 hexadecimal digits, else "".
func IDText(s string) string {
	if len(s) > 64 || strings.Trim(s, "0123456789abcdefABCDEF") != "" {
		return ""
	}
	return s
}

// State returns the state of a server with its clients. If it has more than 2,000
// connections, does not report how many, or refuses their list, Clients is nil and Hidden
// set; that is no error. The reason unsupported: it is a cluster, or does not report its
// run_id.
func (s *Server) State(ctx context.Context, l *Link) (ServerState, error) {
	client, ok := l.client.(*redis.Client)
	if !ok {
		return ServerState{}, &Error{Reason: reason.Unsupported, Detail: "is a cluster"}
	}
	reply, err := askInfo(ctx, l, client)
	if err != nil {
		return ServerState{}, err
	}
	p := ServerState{DB: s.o.URL.DB}
	if p.ID, err = JoinIDs([]string{infoField(reply, "run_id")}); err != nil {
		return ServerState{}, err
	}
	if peer := l.peer.Load(); peer != nil {
		if at, err := netip.ParseAddrPort(*peer); err == nil {
			p.Peer = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
		} else {
			p.Path = *peer // a UNIX socket
		}
	}
	switch n := ParseInfo(reply).Clients; {
	case n == nil:
		p.Hidden = "it does not report how many connections it has"
		return p, nil
	case *n > maxClients:
		p.Hidden = "it has more than 2,000 connections"
		return p, nil
	}
	list, err := client.ClientList(ctx).Result()
	var refusal redis.Error
	switch {
	case errors.As(err, &refusal) && !strings.HasPrefix(refusal.Error(), "NOPERM"): // renamed, or switched off
		p.Hidden = "it does not list its connections"
	case refusal != nil:
		p.Hidden = "the exporter's user may not list connections: ACL SETUSER " + Placeholder + " +client|list"
	case err != nil:
		return ServerState{}, err
	default:
		p.Clients = ParseClients(list)
	}
	return p, nil
}

// ParseClients returns the clients in the reply of CLIENT LIST, a line of key=value each,
// in its order, at most 2,000. It skips lines that it does not understand, or with a name
// of more than 256 bytes.
func ParseClients(list string) []Client {
	var out []Client
	for line := range strings.Lines(list) {
		if len(out) >= maxClients {
			break
		}
		if c, ok := parseClient(strings.TrimSpace(line)); ok {
			out = append(out, c)
		}
	}
	return out
}

// parseClient returns the client of a line "id=3 addr=127.0.0.1:41872 … name=web db=0 …".
// ok is false without a db and a valid address or socket's path, and for a name of more
// than 256 bytes. No value has a space in it: Redis accepts none in a name.
func parseClient(line string) (c Client, ok bool) {
	found := 0
	for field := range strings.FieldsSeq(line) {
		key, value, _ := strings.Cut(field, "=")
		switch key {
		case "addr":
			c.Addr = plainAddrPort(value)
			if path, isPath := strings.CutSuffix(value, ":0"); isPath && strings.HasPrefix(path, "/") && len(path) <= maxClientName {
				c.Path = path
			}
			found++
		case "laddr":
			c.To = plainAddrPort(value)
		case "name":
			if len(value) > maxClientName {
				return Client{}, false
			}
			c.Name = value
		case "db":
			n, err := strconv.ParseUint(value, 10, 16)
			if err != nil {
				return Client{}, false
			}
			c.DB = int(n)
			found++
		}
	}
	return c, found == 2 && c.Addr.IsValid() != (c.Path != "")
}

// plainAddrPort returns the address "127.0.0.1:6379" without a zone, and an IPv4 address
// in IPv6 as IPv4; one that is not valid for anything else.
func plainAddrPort(s string) netip.AddrPort {
	at, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
}
