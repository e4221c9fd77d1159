package redis

import (
	"math"
	"strings"
)

// Info holds the used fields of INFO. What a server does not report is nil or
// "". For a cluster the numbers are the sums over its masters, and nil if one
// of them does not report it.
type Info struct {
	Version string // "7.0.15"; of a cluster the first by name
	Mode    string // standalone, sentinel or cluster
	Role    string // master or slave

	Hits, Misses     *float64 // lookups of keys since the server started or its statistics were reset
	Evicted          *float64 // keys that went for want of memory, since then
	Expired          *float64 // keys that went because their time to live was over, since then
	Commands         *float64 // commands that were processed, since then
	Rejected         *float64 // connections beyond maxclients, since then
	Received, Sent   *float64 // bytes from and to clients, since then
	Memory           *float64 // bytes
	MaxMemory        *float64 // bytes; nil also where no limit is set, of a cluster on one master at least
	Clients, Blocked *float64 // connections, and those that wait in a blocking command
	Time             *float64 // microseconds since 1970, by the server's clock; nil before Redis 6 and for a cluster

	Keyspace *Keyspace // nil if it is not reported, of a cluster by one master at least

	PID int // of the process, in its own PID namespace; 0 for a cluster
}

// maxText bounds a version, a mode and a role, in bytes.
const maxText = 32

// ParseInfo returns what the reply of INFO has: lines of key:value, and of # Section. It
// ignores unknown lines; what is missing or no number is nil or "", and so is a maxmemory
// of 0.
func ParseInfo(reply string) Info {
	var i Info
	numbers := i.numbers()
	for line := range strings.Lines(reply) {
		line = strings.TrimRight(line, "\r\n")
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			if line == keyspaceSection && i.Keyspace == nil {
				i.Keyspace = &Keyspace{}
			}
			continue
		}
		if i.Keyspace != nil {
			i.Keyspace.add(key, value)
		}
		i.set(numbers[:], key, value)
	}
	if i.MaxMemory != nil && *i.MaxMemory == 0 { // Redis' way to say that there is none
		i.MaxMemory = nil
	}
	return i
}

// set sets the field of a line's key to its value. It ignores unknown keys.
func (i *Info) set(numbers []infoNumber, key, value string) {
	for _, n := range numbers {
		if n.key == key {
			*n.to = Number(value)
		}
	}
	switch key {
	case "server_time_usec":
		i.Time = Number(value)
	case "process_id":
		if n := Number(value); n != nil && *n <= math.MaxInt32 {
			i.PID = int(*n)
		}
	case "redis_version":
		i.Version = plainText(value)
	case "redis_mode":
		i.Mode = plainText(value)
	case "role":
		i.Role = plainText(value)
	}
}

// infoNumber is the place of a number, by its key.
type infoNumber struct {
	key string
	to  **float64
}

// numbers returns the fields for the numbers of INFO that are added up for a cluster,
// with their keys.
func (i *Info) numbers() [12]infoNumber {
	return [...]infoNumber{
		{"keyspace_hits", &i.Hits}, {"keyspace_misses", &i.Misses}, {"evicted_keys", &i.Evicted}, {"expired_keys", &i.Expired},
		{"total_commands_processed", &i.Commands}, {"rejected_connections", &i.Rejected},
		{"total_net_input_bytes", &i.Received}, {"total_net_output_bytes", &i.Sent},
		{"used_memory", &i.Memory}, {"maxmemory", &i.MaxMemory}, {"connected_clients", &i.Clients}, {"blocked_clients", &i.Blocked},
	}
}

// plainText returns s if it has at most 32 bytes and only letters, digits, dots, dashes
// and underscores, else "": it becomes the value of a label.
func plainText(s string) string {
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
	}
	if len(s) > maxText || strings.ContainsFunc(s, odd) {
		return ""
	}
	return s
}

// sum returns the INFO of a cluster: the first master's, with the numbers of all added up
// and the version that is first as text, "" if one lacks it. A number that one master
// lacks is nil; of several masters Time is nil and PID 0. Zero for no masters.
func sum(infos []Info) Info {
	if len(infos) == 0 {
		return Info{}
	}
	all := infos[0]
	for key, sum := range all.numbers() {
		total := 0.0
		for n := range infos {
			v := *infos[n].numbers()[key].to
			if v == nil {
				total = math.NaN()
				break
			}
			total += *v
		}
		if *sum.to = nil; !math.IsNaN(total) {
			*sum.to = &total
		}
	}
	all.Keyspace = sumKeyspaces(infos)
	for _, i := range infos[1:] {
		all.Time, all.PID = nil, 0
		all.Version = min(all.Version, i.Version)
	}
	return all
}
