// Package holder finds the process that holds a socket address, such as the one of StatsD.
package holder

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"

	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// Exporter is the kernel's name for the exporter's processes.
const Exporter = "resp-exporter"

// Holder is a process that holds an address.
type Holder struct {
	PID  int
	Name string
	Sure bool // its descriptor was seen; else it is only an exporter that runs
}

// Of returns who listens on "udp://host:port", "unixgram:///path" or "tcp://host:port" of
// this network namespace, on whatever host; the zero Holder if it is not known. Of several
// processes an exporter comes first. If no process is known to hold it, it returns another
// running exporter whose descriptors cannot be read, without Sure.
func Of(procRoot, listen string) Holder {
	fs, err := procfs.NewFS(procRoot)
	if err != nil {
		return Holder{}
	}
	inodes := inodesOf(fs, procRoot, listen)
	if len(inodes) == 0 {
		return Holder{}
	}
	all, err := fs.AllProcs()
	if err != nil {
		return Holder{}
	}
	var perhaps, another Holder
	for _, p := range all {
		h, refused := ownsSocket(p, inodes)
		switch {
		case h.Sure && h.Name == Exporter:
			return h
		case h.Sure: // systemd holds the sockets that it hands out, too
			another = h
		case refused && perhaps.PID == 0 && h.Name == Exporter:
			perhaps = h
		}
	}
	if another.PID != 0 {
		return another
	}
	return perhaps
}

// ownsSocket returns the process as a Holder; the zero Holder for this process and one whose
// name cannot be read. Its field Sure is set if one of its descriptors is one of these
// sockets. refused is true if its descriptors cannot be read.
func ownsSocket(p procfs.Proc, inodes []uint64) (h Holder, refused bool) {
	name, err := p.Comm()
	if err != nil || p.PID == os.Getpid() {
		return Holder{}, false
	}
	h = Holder{PID: p.PID, Name: name}
	targets, err := p.FileDescriptorTargets()
	if err != nil {
		return h, true
	}
	h.Sure = slices.ContainsFunc(targets, func(t string) bool {
		number, ok := strings.CutPrefix(strings.TrimSuffix(t, "]"), "socket:[")
		inode, err := strconv.ParseUint(number, 10, 64)
		return ok && err == nil && slices.Contains(inodes, inode)
	})
	return h, false
}

// inodesOf returns the sockets at the path or port of an address, on whatever host; none if
// the kernel's tables cannot be read, or the port is no number.
func inodesOf(fs procfs.FS, procRoot, listen string) []uint64 {
	if path, ok := strings.CutPrefix(listen, "unixgram://"); ok {
		return unixInodes(fs, path)
	}
	port, err := strconv.ParseUint(listen[strings.LastIndexByte(listen, ':')+1:], 10, 16)
	if err != nil {
		return nil
	}
	if strings.HasPrefix(listen, "udp://") {
		return udpInodes(fs, port)
	}
	return tcpInodes(procRoot, port)
}

// unixInodes returns the inodes of the UNIX sockets at a path, nil if they cannot be read.
func unixInodes(fs procfs.FS, path string) []uint64 {
	sockets, err := fs.NetUNIX()
	if err != nil {
		return nil
	}
	var out []uint64
	for _, s := range sockets.Rows {
		if s.Path == path {
			out = append(out, s.Inode)
		}
	}
	return out
}

// udpInodes returns the inodes of the UDP sockets with a port, of IPv4 and IPv6; those
// that cannot be read are left out.
func udpInodes(fs procfs.FS, port uint64) []uint64 {
	var out []uint64
	for _, read := range []func() (procfs.NetUDP, error){fs.NetUDP, fs.NetUDP6} {
		lines, _ := read() // what cannot be read has no lines
		for _, l := range lines {
			if l.LocalPort == port {
				out = append(out, l.Inode)
			}
		}
	}
	return out
}

// tcpInodes returns the inodes of the TCP listeners with a port, of IPv4 and IPv6; those
// that cannot be read are left out.
func tcpInodes(procRoot string, port uint64) []uint64 {
	var out []uint64
	for _, name := range []string{"tcp", "tcp6"} {
		f, err := os.Open(filepath.Join(procRoot, "net", name))
		if err != nil {
			continue
		}
		list, _ := sockdiag.ParseProcNetTCP(f)
		_ = f.Close()
		for _, l := range list {
			if uint64(l.Addr.Port()) == port {
				out = append(out, l.Inode)
			}
		}
	}
	return out
}
