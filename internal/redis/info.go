package redis

import (
	"math"
	"strconv"
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
	Memory           *float64 // bytes
	MaxMemory        *float64 // bytes; nil also where no limit is set, of a cluster on one master at least
	Clients, Blocked *float64 // connections, and those that wait in a blocking command
	Time             *float64 // microseconds since 1970, by the server's clock; nil before Redis 6 and for a cluster

	PID int // of the process, in its own PID namespace; 0 for a cluster
}

// maxText bounds a version, a mode and a role, in bytes.
const maxText = 32

// ParseInfo reads the reply of INFO: lines of key:value, and of # Section. It
// ignores unknown lines.
func ParseInfo(reply string) Info {
	var i Info
	numbers := i.numbers()
	texts := map[string]*string{"redis_version": &i.Version, "redis_mode": &i.Mode, "role": &i.Role}
	for line := range strings.Lines(reply) {
		key, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		if !ok {
			continue
		}
		if to := numbers[key]; to != nil {
			*to = Number(value)
		}
		switch key {
		case "server_time_usec":
			i.Time = Number(value)
		case "process_id":
			if n := Number(value); n != nil && *n <= math.MaxInt32 {
				i.PID = int(*n)
			}
		}
		if to := texts[key]; to != nil {
			*to = plainText(value)
		}
	}
	if i.MaxMemory != nil && *i.MaxMemory == 0 { // Redis' way to say that there is none
		i.MaxMemory = nil
	}
	return i
}

// numbers returns the place of each number by its key.
func (i *Info) numbers() map[string]**float64 {
	return map[string]**float64{
		"keyspace_hits": &i.Hits, "keyspace_misses": &i.Misses, "evicted_keys": &i.Evicted,
		"used_memory": &i.Memory, "maxmemory": &i.MaxMemory,
		"connected_clients": &i.Clients, "blocked_clients": &i.Blocked,
	}
}

// Number reads a whole number; nil if it is none.
func Number(s string) *float64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > math.MaxInt64 {
		return nil
	}
	v := float64(n)
	return &v
}

// plainText returns short text of letters, digits, dots and dashes, else "": it
// becomes the value of a label.
func plainText(s string) string {
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
	}
	if len(s) > maxText || strings.ContainsFunc(s, odd) {
		return ""
	}
	return s
}

// sum adds up the INFO of a cluster's masters.
func sum(infos []Info) Info {
	if len(infos) == 0 {
		return Info{}
	}
	all := infos[0]
	to := all.numbers()
	for key, serverState := range to {
		total := 0.0
		for n := range infos {
			v := *infos[n].numbers()[key]
			if v == nil {
				total = math.NaN()
				break
			}
			total += *v
		}
		if *serverState = nil; !math.IsNaN(total) {
			*serverState = &total
		}
	}
	for _, i := range infos[1:] {
		all.Time, all.PID = nil, 0
		all.Version = min(all.Version, i.Version)
	}
	return all
}
