package memory

// check returns how many bytes parts have together. ErrParts, ErrAddress or ErrLength say
// why they may not be read.
func check(parts []Part) (total int, err error) {
	if len(parts) > MaxParts {
		return 0, ErrParts
	}
	for i := range parts {
		n := len(parts[i].Into)
		if n == 0 {
			continue
		}
		if err := Check(parts[i].Addr, n); err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// Check returns nil if n bytes at an address may be read: the range lies between
// [MinAddress] and [EndAddress] and has at most [MaxLength] bytes. Otherwise it returns
// ErrAddress or ErrLength.
func Check(addr uint64, n int) error {
	if n < 0 || n > MaxLength {
		return ErrLength
	}
	if addr < MinAddress || addr >= EndAddress || addr+uint64(n) > EndAddress {
		return ErrAddress
	}
	return nil
}
