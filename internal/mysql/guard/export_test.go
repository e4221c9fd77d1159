package guard

// CheckPackets runs every check on a copy of p, and returns how many bytes the
// strings of a row that was accepted have.
func CheckPackets(p []byte, columns int) int {
	for _, check := range []func([]byte) error{
		checkGreeting, checkError, checkColumn, checkKey,
		func(p []byte) error { _, err := checkLogin(p); return err },
		func(p []byte) error { _, err := checkOK(p); return err },
		func(p []byte) error { _, err := checkEOF(p); return err },
	} {
		_ = check(append([]byte(nil), p...))
	}
	rest, ok := skipStrings(p, columns)
	if !ok {
		return 0
	}
	return len(p) - len(rest)
}
