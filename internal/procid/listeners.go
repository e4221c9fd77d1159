package procid

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
)

// maxTable is how many bytes of one table of sockets under /proc/PID/net are
// read.
const maxTable = 64 << 20

// Listeners returns the inodes of the sockets that listen in the network namespace of a
// process, from /proc/PID/net/tcp, tcp6 and unix; a kernel without IPv6 has no tcp6.
// ErrTooMany: a table has 64 MiB or more. ErrGone: the process has ended.
func Listeners(root string, pid int) (map[uint64]bool, error) {
	out := make(map[uint64]bool)
	for name, listener := range map[string]func([]string) (uint64, bool){
		"net/tcp": tcpListener, "net/tcp6": tcpListener, "net/unix": unixListener,
	} {
		f, err := os.Open(path(root, pid, name))
		if name == "net/tcp6" && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, ended(err)
		}
		err = eachLine(f, func(line string) {
			if ino, ok := listener(strings.Fields(line)); ok {
				out[ino] = true
			}
		})
		f.Close()
		if err != nil {
			return nil, ended(err)
		}
	}
	return out, nil
}

// eachLine calls f for each line of a table. ErrTooMany: the table has 64 MiB or more.
func eachLine(r io.Reader, f func(string)) error {
	lim := &io.LimitedReader{R: r, N: maxTable}
	sc := bufio.NewScanner(lim)
	for sc.Scan() {
		f(sc.Text())
	}
	if lim.N == 0 {
		return ErrTooMany
	}
	return sc.Err()
}

// tcpListener returns the inode of a listening socket by the fields of a line of
// /proc/net/tcp: the 4th is the state (0A is LISTEN), the 10th the inode. false: it does
// not listen, or the line has another form.
func tcpListener(f []string) (uint64, bool) {
	if len(f) < 10 || f[3] != "0A" {
		return 0, false
	}
	n, err := strconv.ParseUint(f[9], 10, 64)
	return n, err == nil && n != 0
}

// unixListener returns the inode of a listening socket by the fields of a line of
// /proc/net/unix: the 4th holds the flags (00010000 is a socket that accepts), the 7th the
// inode. false: it does not listen, or the line has another form. The path is last and may
// hold anything.
func unixListener(f []string) (uint64, bool) {
	if len(f) < 7 || f[3] != "00010000" {
		return 0, false
	}
	n, err := strconv.ParseUint(f[6], 10, 64)
	return n, err == nil && n != 0
}
