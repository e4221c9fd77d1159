package collectors

// userKey is the user of a sender; the zero value stands for all senders whose user is
// not proven.
type userKey struct {
	uid    uint32
	proven bool
}

// user returns the user of a sender; the zero key, which all share, if the user is not
// proven.
func (s *sender) user() userKey {
	if !s.source.Proven {
		return userKey{}
	}
	return userKey{s.source.UID, true}
}

// udp reports whether a sender sends by UDP, not by a UNIX socket.
func (s *sender) udp() bool { return s.key.Addr.IsValid() }
