package collectors

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

var errNetstat = errors.New("TcpExt ListenOverflows and ListenDrops are missing")

// parseListenCounters returns ListenOverflows and ListenDrops of the text of
// /proc/net/netstat, which has pairs of lines: names, and below them values. errNetstat:
// it lacks one of them. With any error both are 0.
func parseListenCounters(b []byte) (overflows, drops float64, err error) {
	names, rest, ok := bytes.Cut(b, []byte("\n"))
	for ok && !bytes.HasPrefix(names, []byte("TcpExt:")) {
		names, rest, ok = bytes.Cut(rest, []byte("\n"))
	}
	values, _, _ := bytes.Cut(rest, []byte("\n"))
	if !ok || !bytes.HasPrefix(values, []byte("TcpExt:")) {
		return 0, 0, errNetstat
	}
	found := 0
	for len(names) > 0 && len(values) > 0 && found < 2 {
		var name, value []byte
		name, names, _ = bytes.Cut(names, []byte(" "))
		value, values, _ = bytes.Cut(values, []byte(" "))
		into := &overflows
		switch string(name) {
		case "ListenOverflows":
		case "ListenDrops":
			into = &drops
		default:
			continue
		}
		n, err := strconv.ParseUint(string(value), 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", name, err)
		}
		*into = float64(n)
		found++
	}
	if found < 2 {
		return 0, 0, errNetstat
	}
	return overflows, drops, nil
}
