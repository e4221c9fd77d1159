// Package appname gives apps names that stay: the same identity bears the same
// name after a restart, and no other user's app inherits it. It reads nothing.
package appname

import (
	"cmp"
	"hash/fnv"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// ID identifies an app among others of its base name. It is the same after a
// restart of the app, and has no pid and no container's id.
type ID struct {
	Base  string         // the name itself
	Owner procfs.Account // whose it is
	Unit  string         // systemd unit
	Host  string         // host name of its container or pod, without what changes with each
	Bind  string         // where it listens, as a listener's label; "" if that changes with each start
}

// WithoutBind returns the ID without where the app listens.
func (id ID) WithoutBind() ID {
	id.Bind = ""
	return id
}

// CompareIDs orders IDs by base name, owner, unit, host and bind, as
// slices.SortFunc takes it.
func CompareIDs(x, y *ID) int {
	if c := strings.Compare(x.Base, y.Base); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(x.Owner, y.Owner), strings.Compare(x.Unit, y.Unit), strings.Compare(x.Host, y.Host), strings.Compare(x.Bind, y.Bind))
}

// MaxName is how many bytes the name of an app may have.
const MaxName = text.MaxName // bytes of an app's name

// Qualified returns the names that an app may bear if its base name is taken, the best first:
// with a part of its ID that no other has, with all its parts, with its uid unless it is root's.
func Qualified(id ID, others []ID) []string {
	var out []string
	add := func(v string) { out = append(out, withSuffix(id.Base, "@"+text.Name(v))) }
	unlike := func(v string, of func(ID) string) bool {
		return v != "" && !slices.ContainsFunc(others, func(o ID) bool { return of(o) == v })
	}
	if unlike(id.Unit, func(o ID) string { return o.Unit }) {
		add(id.Unit)
	}
	if unlike(id.Host, func(o ID) string { return o.Host }) {
		add(id.Host)
	}
	for _, end := range bindEnds(id.Bind) {
		if unlike(end, func(o ID) string { return endLike(o.Bind, end) }) {
			add(end)
			break
		}
	}
	all := slices.DeleteFunc([]string{id.Unit, id.Host, id.Bind}, func(s string) bool { return s == "" })
	if len(all) > 1 {
		add(strings.Join(all, "@"))
	}
	if id.Owner != 0 {
		add("uid" + strconv.FormatUint(uint64(id.Owner), 10))
	}
	return out
}

// bindEnds returns an address or, for the path of a socket, its ends, the shortest first:
// "b.sock", "run/b.sock", "unix:/run/b.sock"; none for "".
func bindEnds(bind string) []string {
	p, ok := strings.CutPrefix(bind, "unix:/")
	if !ok {
		return slices.DeleteFunc([]string{bind}, func(s string) bool { return s == "" })
	}
	parts := strings.Split(p, "/")
	var out []string
	for i := range slices.Backward(parts) {
		out = append(out, strings.Join(parts[i:], "/"))
	}
	return append(out, bind)
}

// endLike returns the end of an address that has as many parts as like; the whole address
// if it has fewer.
func endLike(bind, like string) string {
	for _, end := range bindEnds(bind) {
		if strings.Count(end, "/") == strings.Count(like, "/") {
			return end
		}
	}
	return bind
}

// withSuffix returns a name with a suffix, at most MaxName bytes: what is longer
// is cut, and a checksum of the whole keeps it apart from others that are cut
// alike.
func withSuffix(base, suffix string) string {
	if len(base)+len(suffix) <= MaxName {
		return base + suffix
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(base + suffix))
	sum := "-" + strconv.FormatUint(uint64(h.Sum32()), 36)
	room := MaxName - len(sum)
	keep := min(len(base), max(room-len(suffix), room/2))
	end := suffix[max(0, len(suffix)-(room-keep)):]
	return base[:keep] + end + sum
}

// Ordinal returns the n-th name of replicas with the same ID, "shop~2", at most MaxName bytes.
func Ordinal(name string, n int) string { return withSuffix(name, "~"+strconv.Itoa(n)) }

// WithoutOrdinal returns a name without the "~2" of a replica.
func WithoutOrdinal(name string) string {
	before, n, ok := strings.Cut(name, "~")
	if _, err := strconv.Atoi(n); ok && err == nil {
		return before
	}
	return name
}

// The hashes in the names of pods: of a ReplicaSet, which are digits written in
// another alphabet, and of the pod.
var (
	replicaPod = regexp.MustCompile(`-[456789bcdf]{6,10}-[bcdfghjklmnpqrstvwxz2456789]{5}$`)
	cutPod     = regexp.MustCompile(`-[456789bcdf]{6,10}(-[bcdfghjklmnpqrstvwxz2456789]{0,4})?$`)
	jobPod     = regexp.MustCompile(`(-[0-9]{8,})?-[bcdfghjklmnpqrstvwxz2456789]{5}$`)
	hexID      = regexp.MustCompile(`^[0-9a-f]{12,}$`)
	someUUID   = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	appScope   = regexp.MustCompile(`^app-.*-[0-9]+$`)
	longNumber = regexp.MustCompile(`-[0-9]+$`)
)

// HasUUID reports whether a string contains a UUID in small letters.
func HasUUID(s string) bool { return someUUID.MatchString(s) }

// maxHostName is the length at which the kernel and the kubelet cut a host name.
const maxHostName = 63

// HostTemplate returns what the host names of all replicas of one template have in common: of
// a name that looks like a pod's the part without the hashes of its ReplicaSet, or if pod is
// true of its Job, and its own; "" for a name that is an id or has a UUID; any other name
// whole, at most 253 bytes.
func HostTemplate(host string, pod bool) string {
	host = text.Label(host, 253)
	switch {
	case hexID.MatchString(host), HasUUID(host):
		return ""
	case replicaPod.MatchString(host):
		return replicaPod.ReplaceAllString(host, "")
	case len(host) >= maxHostName-1 && cutPod.MatchString(host):
		return cutPod.ReplaceAllString(host, "")
	case pod && jobPod.MatchString(host):
		return jobPod.ReplaceAllString(host, "")
	}
	return host
}

// StableUnit returns the name of a systemd unit without what changes with each
// start; "" for one with a UUID and for a transient one ("run-…"): units of systemd-run
// have a pid or a random number as their name.
func StableUnit(unit string) string {
	switch {
	case strings.HasPrefix(unit, "run-"), HasUUID(unit):
		return ""
	case appScope.MatchString(unit):
		return longNumber.ReplaceAllString(unit, "")
	}
	return unit
}

// Found is what names the app of a root process, as far as it is known.
type Found struct {
	Known, HostKnown bool
	Tries            uint8 // how often Base was looked for
	Base, Host       string
	ID               ID // as of the last scan in which it was not admitted
}

// Pending reports whether the files that name the app could not be looked at, and the next
// scan tries again.
func (f *Found) Pending() bool { return !f.Known && f.Tries > 0 }

// CompareNames orders names by length first, so that "shop" comes before "shop~2"
// and that before "shop~10".
func CompareNames(x, y string) int {
	return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y))
}
