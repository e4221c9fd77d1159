package redis

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/reason"
)

// MaxListed is the number of connections up to which [Server.Inspect] is for a
// server: Redis answers no other client while it writes the list.
const MaxListed = maxClients

// Activity is one connection to a server and what it does, of its CLIENT LIST.
type Activity struct {
	Client

	ID        uint64
	User      string        // of the ACL; "" before Redis 6
	Command   string        // the last one, such as "blpop" or "client|list"; "": none
	Age, Idle time.Duration // whole seconds since it was made, and since its last command began
	Blocked   bool          // it waits in a command such as BLPOP
	Multi     bool          // it is within MULTI
}

// Inspection is what a server reports of its clients in one reply.
type Inspection struct {
	Clients    []Activity // CLIENT LIST, at most 2,000 connections
	ClientsErr error      // an [Error]: why it is refused; it needs the right +client|list
	// Slow is SLOWLOG GET, the last 16 commands that took longer than the server's
	// slowlog-log-slower-than, the last one first.
	Slow    []SlowCommand
	SlowErr error // an [Error]: why it is refused; it needs the right +slowlog|get
}

// Inspect returns the connections (CLIENT LIST, 2,000 at most), the last 16 slow commands
// (SLOWLOG GET), or both in one round trip, so that a slow server delays the caller once.
// What is not requested stays nil; if only that command is refused, ClientsErr or SlowErr
// is set. Its error is an [Error]; the reason unsupported: the server is a cluster.
func (s *Server) Inspect(ctx context.Context, clients, slow bool) (Inspection, error) {
	var out Inspection
	err := s.Do(ctx, func(ctx context.Context, l *Link) error {
		client, ok := l.client.(*redis.Client)
		if !ok {
			return &Error{Reason: reason.Unsupported, Detail: "is a cluster", Answered: true}
		}
		out = Inspection{}
		var list *redis.StringCmd
		var log *redis.SlowLogCmd
		pipe := client.Pipeline()
		if clients {
			list = pipe.ClientList(ctx)
		}
		if slow {
			log = pipe.SlowLogGet(ctx, maxSlow)
		}
		if _, err := pipe.Exec(ctx); err != nil && (!IsReply(err) || ofAll(err)) {
			return err
		}
		out.read(list, log)
		return nil
	})
	if err != nil {
		return Inspection{}, err
	}
	return out, nil
}

// read sets the results by the replies to the commands that were sent, or why a command
// failed; nil for one that was not sent.
func (in *Inspection) read(list *redis.StringCmd, log *redis.SlowLogCmd) {
	switch {
	case list == nil:
	case list.Err() != nil:
		in.ClientsErr = ReplyFault(list.Err().Error())
	default:
		in.Clients = ParseActivities(list.Val())
	}
	switch {
	case log == nil:
	case log.Err() != nil:
		in.SlowErr = ReplyFault(log.Err().Error())
	default:
		in.Slow = slowCommands(log.Val())
	}
}

// ParseActivities returns the connections in the reply of CLIENT LIST, in its order, at
// most 2,000. A line that [ParseClients] skips, or without an id, an age or a time idle,
// is left out.
func ParseActivities(list string) []Activity {
	var out []Activity
	for line := range strings.Lines(list) {
		if len(out) >= maxClients {
			break
		}
		c, ok := parseClient(strings.TrimSpace(line))
		if !ok {
			continue
		}
		a := Activity{Client: c}
		if a.read(line) && a.ID != 0 {
			out = append(out, a)
		}
	}
	return out
}

// read sets what a line of CLIENT LIST says of a connection's activity; false if its id,
// its age or its time idle is missing or no number. Times are 10^9 seconds at most. A
// user's name that is too long is left out.
func (a *Activity) read(line string) bool {
	numbers := 0
	for field := range strings.FieldsSeq(line) {
		key, value, _ := strings.Cut(field, "=")
		switch key {
		case "id", "age", "idle":
			n, err := strconv.ParseUint(value, 10, 63)
			if err != nil {
				return false
			}
			numbers++
			switch seconds := time.Duration(min(n, 1e9)) * time.Second; key {
			case "id":
				a.ID = n
			case "age":
				a.Age = seconds
			default:
				a.Idle = seconds
			}
		case "flags":
			a.Blocked, a.Multi = strings.Contains(value, "b"), strings.Contains(value, "x")
		case "cmd":
			a.Command = commandName(strings.Split(value, "|"))
		case "user":
			if len(value) <= maxClientName {
				a.User = value
			}
		}
	}
	return numbers == 3
}

// commandName returns the name of a command in lower case, with the subcommand of the known
// ones that have some: "blpop", "client|list". "" for NULL, for more than 32 bytes, and for
// other characters than letters, digits, dots, dashes and underscores; a subcommand of that
// kind is left out.
func commandName(words []string) string {
	if words[0] = strings.ToLower(words[0]); words[0] == "null" || plainText(words[0]) == "" {
		return ""
	}
	switch words[0] {
	case "acl", "client", "cluster", "command", "config", "debug", "function", "latency", "memory", "module", "object", "pubsub", "script", "slowlog", "xgroup", "xinfo":
		if len(words) > 1 && plainText(words[1]) != "" {
			return words[0] + "|" + strings.ToLower(words[1])
		}
	}
	return words[0]
}

// SlowCommand is one entry of a server's log of slow commands, without its arguments.
type SlowCommand struct {
	Command string    // "keys", "debug|sleep"; "": not known
	Ended   time.Time // by the server's clock, in whole seconds
	Took    time.Duration
	Client  string // "127.0.0.1:41872" or the path of a socket; "" before Redis 4
}

// maxSlow is how many slow commands one read keeps.
const maxSlow = 16

// slowCommands returns the first 16 entries of the log, in its order, without their
// arguments. The address of a client is "" if it is too long.
func slowCommands(list []redis.SlowLog) []SlowCommand {
	var out []SlowCommand
	for _, e := range list[:min(len(list), maxSlow)] {
		x := SlowCommand{Ended: e.Time, Took: max(0, e.Duration)}
		if len(e.Args) > 0 {
			x.Command = commandName(e.Args[:min(len(e.Args), 2)])
		}
		if len(e.ClientAddr) <= maxClientName {
			x.Client = e.ClientAddr
		}
		out = append(out, x)
	}
	return out
}
