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

// maxClients is the number of connections up to which CLIENT LIST is asked for:
// some 400 bytes each, below the bound of one reply.
const maxClients = 2000

// ServerID tells one Redis server, or the masters of one cluster, from every
// other, under whatever name or address it is reached: run_id of INFO, another
// one after each start. The database is not part of it.
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

// Client is one connection to a server, of its CLIENT LIST. Its name is what
// the client has called itself; the address is what the kernel told the server.
type Client struct {
	Addr netip.AddrPort // the client's end; not valid where it came over a UNIX socket
	To   netip.AddrPort // the server's end; not valid before Redis 6.2
	Path string         // of the UNIX socket
	Name string         // "" for none; at most 256 bytes, else it is another one's
	DB   int
}

// Keyspace reports which database of which server answers now: two names of the
// configuration that lead to one have one keyspace. Its error is an [Error].
func (s *Server) Keyspace(ctx context.Context) (string, error) {
	id, err := s.ServerID(ctx)
	return string(id) + "/" + strconv.Itoa(s.o.URL.DB), err
}

// ServerID reports which server answers now. Its error is an [Error].
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

// JoinIDs joins the run_ids of a server's processes.
func JoinIDs(ids []string) (ServerID, error) {
	if len(ids) == 0 || slices.Contains(ids, "") {
		return "", &Error{Reason: reason.Unsupported, Detail: "does not report its run_id (INFO server)"}
	}
	slices.Sort(ids)
	return ServerID(strings.Join(ids, "+")), nil
}

// runIDs reads INFO of the server, or of each master of the cluster.
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

// infoField reads one text of INFO, of letters, digits, dots and dashes only.
func infoField(reply, key string) string {
	for line := range strings.Lines(reply) {
		if value, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), key+":"); ok {
			return IDText(value)
		}
	}
	return ""
}

// IDText passes an id of at most 64 hexadecimal digits.
func IDText(s string) string {
	if len(s) > 64 || strings.Trim(s, "0123456789abcdefABCDEF") != "" {
		return ""
	}
	return s
}

// State reads the state of a server. If the server refuses the list of
// clients, Hidden says so; that is no error.
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
	if n := ParseInfo(reply).Clients; n == nil || *n > maxClients {
		p.Hidden = "it has more than 2,000 connections"
		return p, nil
	}
	list, err := client.ClientList(ctx).Result()
	var refusal redis.Error
	switch {
	case errors.As(err, &refusal):
		p.Hidden = "the exporter's user may not list connections: ACL SETUSER " + Placeholder + " +client|list"
	case err != nil:
		return ServerState{}, err
	default:
		p.Clients = ParseClients(list)
	}
	return p, nil
}

// ParseClients reads the reply of CLIENT LIST, a line of key=value each. What it
// does not understand it leaves out; it keeps at most 2,000.
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

// parseClient reads "id=3 addr=127.0.0.1:41872 … name=web db=0 …". No value has
// a space in it: Redis takes none into a name.
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

// plainAddrPort reads "127.0.0.1:6379" without a zone; what is none is not valid.
func plainAddrPort(s string) netip.AddrPort {
	at, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
}
