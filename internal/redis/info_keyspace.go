package redis

import (
	"cmp"
	"slices"
	"strings"
)

// Keyspace is how many keys the databases of a server have, from the section of that
// name of INFO. The section lists only databases that have keys.
type Keyspace struct {
	Databases []Database // by number, at most maxDatabases
	LeftOut   int        // databases beyond that
}

// Database is one database of a server.
type Database struct {
	Number   int
	Keys     float64
	Expiring *float64 // keys with a time to live; nil if the server does not report it
}

// maxDatabases bounds the databases of a server: a server has 16 by default.
const maxDatabases = 64

// keyspaceSection is the heading above the databases.
const keyspaceSection = "# Keyspace"

// add adds the database of a line such as "db0:keys=5,expires=1,avg_ttl=0". It ignores
// other lines, and counts those beyond the bound.
func (k *Keyspace) add(key, value string) {
	text, ok := strings.CutPrefix(key, "db")
	number := Number(text)
	if !ok || number == nil || *number > 1e6 {
		return
	}
	d := Database{Number: int(*number)}
	var keys *float64
	for field := range strings.SplitSeq(value, ",") {
		switch name, n, _ := strings.Cut(field, "="); name {
		case "keys":
			keys = Number(n)
		case "expires":
			d.Expiring = Number(n)
		}
	}
	if keys == nil {
		return
	}
	d.Keys = *keys
	place, found := k.find(d.Number)
	switch {
	case found:
		k.Databases[place] = d
	case len(k.Databases) >= maxDatabases:
		k.LeftOut++
	default:
		k.Databases = slices.Insert(k.Databases, place, d)
	}
}

// find returns the index of a database in the list; if it is not found, the index where
// it belongs.
func (k *Keyspace) find(number int) (place int, found bool) {
	return slices.BinarySearchFunc(k.Databases, number, func(d Database, number int) int { return cmp.Compare(d.Number, number) })
}

// sumKeyspaces returns the keyspaces of a cluster's masters added up, sorted by number;
// databases beyond the first 64 that they report are only counted, in LeftOut. nil if one
// of the masters does not report its keyspace.
func sumKeyspaces(infos []Info) *Keyspace {
	all := &Keyspace{}
	for _, i := range infos {
		if i.Keyspace == nil {
			return nil
		}
		all.LeftOut += i.Keyspace.LeftOut
		for _, d := range i.Keyspace.Databases {
			all.merge(d)
		}
	}
	return all
}

// merge adds to a database the keys that one more master has in it. A database beyond the
// bound is only counted.
func (k *Keyspace) merge(d Database) {
	place, found := k.find(d.Number)
	if !found {
		if len(k.Databases) >= maxDatabases {
			k.LeftOut++
			return
		}
		k.Databases = slices.Insert(k.Databases, place, d)
		return
	}
	at := &k.Databases[place]
	at.Keys += d.Keys
	if at.Expiring == nil || d.Expiring == nil {
		at.Expiring = nil
		return
	}
	total := *at.Expiring + *d.Expiring
	at.Expiring = &total
}
