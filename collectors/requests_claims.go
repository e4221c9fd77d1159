package collectors

// claimant is for whom a name that no watched app has is kept: one user, or all
// whose user cannot be proven.
type claimant struct {
	uid    uint32
	proven bool
}

func (s *sender) claimant() claimant {
	if !s.source.Proven {
		return claimant{}
	}
	return claimant{s.source.UID, true}
}

func (s *sender) udp() bool { return s.key.Addr.IsValid() }
