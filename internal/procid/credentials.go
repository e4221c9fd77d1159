package procid

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Credentials is the users and groups of a process, from /proc/PID/status.
type Credentials struct {
	UIDs, GIDs [4]uint32 // real, effective, saved, of the filesystem
	Groups     []uint32  // supplementary, in ascending order, each once
	NoNewPrivs bool      // no execve(2) of it gains privileges
	Seccomp    int       // 0: no filter of system calls
	Filters    int       // of system calls; Linux before 5.9 does not count them
	Bounding   uint64    // capabilities that it can get at most
}

// Uniform reports whether real, effective, saved and filesystem user are one,
// and the groups likewise. A set-user-ID program that waits for a password is
// not uniform.
func (c Credentials) Uniform() bool {
	same := func(ids [4]uint32) bool { return ids[0] == ids[1] && ids[0] == ids[2] && ids[0] == ids[3] }
	return same(c.UIDs) && same(c.GIDs)
}

// UID returns the real user id; the only one if c is uniform.
func (c Credentials) UID() uint32 { return c.UIDs[0] }

// GID returns the real group id; the only one if c is uniform.
func (c Credentials) GID() uint32 { return c.GIDs[0] }

// Equal reports whether all users, groups and supplementary groups are the same.
func (c Credentials) Equal(d Credentials) bool {
	return c.UIDs == d.UIDs && c.GIDs == d.GIDs && slices.Equal(c.Groups, d.Groups)
}

// Agree returns nil if a process may be a worker of its master: both are uniform,
// and their users, groups and supplementary groups are equal, or the master is
// root's, which may give them up for any. Otherwise it is ErrUsers.
func Agree(c, master Credentials) error {
	switch {
	case !master.Uniform():
		return fmt.Errorf("the master's are %s: %w", master, ErrUsers)
	case !c.Uniform():
		return fmt.Errorf("its users and groups are %s: %w", c, ErrUsers)
	case master.UID() != 0 && !c.Equal(master):
		return fmt.Errorf("its users and groups are %s, the master's are %s: %w", c, master, ErrUsers)
	}
	return nil
}

// String returns the user and the group, and the number of supplementary groups, as a
// phrase for people, such as "uid 33, gid 33, 1 groups"; the four of each if they are not
// uniform.
func (c Credentials) String() string {
	if !c.Uniform() {
		return fmt.Sprintf("uids %v, gids %v", c.UIDs, c.GIDs)
	}
	return fmt.Sprintf("uid %d, gid %d, %d groups", c.UID(), c.GID(), len(c.Groups))
}

// parseStatus returns the users and groups in /proc/PID/status; other fields that are
// missing there are 0. errShape: Uid or Gid is not there exactly once, or a field is no
// number.
func parseStatus(b []byte) (Credentials, error) {
	var c Credentials
	uids, gids := 0, 0
	for line := range bytes.Lines(b) {
		name, rest, _ := strings.Cut(string(line), ":")
		var err error
		switch name {
		case "Uid":
			c.UIDs, err = four(rest)
			uids++
		case "Gid":
			c.GIDs, err = four(rest)
			gids++
		case "Groups":
			c.Groups, err = numbers(rest)
			slices.Sort(c.Groups)
			c.Groups = slices.Compact(c.Groups)
		case "NoNewPrivs":
			c.NoNewPrivs = strings.TrimSpace(rest) == "1"
		case "Seccomp":
			c.Seccomp, err = strconv.Atoi(strings.TrimSpace(rest))
		case "Seccomp_filters":
			c.Filters, err = strconv.Atoi(strings.TrimSpace(rest))
		case "CapBnd":
			c.Bounding, err = strconv.ParseUint(strings.TrimSpace(rest), 16, 64)
		}
		if err != nil {
			return Credentials{}, fmt.Errorf("%s: %w", name, errShape)
		}
	}
	if uids != 1 || gids != 1 {
		return Credentials{}, fmt.Errorf("the owner cannot be read: %w", errShape)
	}
	return c, nil
}

// four returns the four numbers of a line "Uid:" or "Gid:". errShape: there are not four.
func four(s string) (out [4]uint32, err error) {
	list, err := numbers(s)
	if err != nil || len(list) != len(out) {
		return out, errShape
	}
	return [4]uint32(list), nil
}

// numbers returns the numbers of a line, separated by blanks. errShape: one is no number.
func numbers(s string) ([]uint32, error) {
	var out []uint32
	for f := range strings.FieldsSeq(s) {
		n, err := strconv.ParseUint(f, 10, 32)
		if err != nil {
			return nil, errShape
		}
		out = append(out, uint32(n))
	}
	return out, nil
}
