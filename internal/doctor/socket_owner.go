package doctor

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"

	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// exporterName is the kernel's name for the exporter's processes.
const exporterName = "resp-exporter"

// holder is a process that holds an address.
type holder struct {
	pid  int
	name string
	sure bool // its descriptor was seen; else it is only an exporter that runs
}

// holderOf returns who listens on "udp://host:port", "unixgram:///path" or
// "tcp://host:port" of this network namespace; the zero holder if it is not
// known. Of several processes an exporter comes first. If the descriptors of
// other users' processes cannot be read, it returns another running exporter.
func holderOf(procRoot, listen string) holder {
	fs, err := procfs.NewFS(procRoot)
	if err != nil {
		return holder{}
	}
	inodes := inodesOf(fs, procRoot, listen)
	if len(inodes) == 0 {
		return holder{}
	}
	all, err := fs.AllProcs()
	if err != nil {
		return holder{}
	}
	var perhaps, another holder
	for _, p := range all {
		h, refused := ownsSocket(p, inodes)
		switch {
		case h.sure && h.name == exporterName:
			return h
		case h.sure: // systemd holds the sockets that it hands out, too
			another = h
		case refused && perhaps.pid == 0 && h.name == exporterName:
			perhaps = h
		}
	}
	if another.pid != 0 {
		return another
	}
	return perhaps
}

// ownsSocket returns the process, which is sure to hold one of these sockets if
// its field sure is set; refused is true if its descriptors cannot be read.
func ownsSocket(p procfs.Proc, inodes []uint64) (h holder, refused bool) {
	name, err := p.Comm()
	if err != nil || p.PID == os.Getpid() {
		return holder{}, false
	}
	h = holder{pid: p.PID, name: name}
	targets, err := p.FileDescriptorTargets()
	if err != nil {
		return h, true
	}
	h.sure = slices.ContainsFunc(targets, func(t string) bool {
		number, ok := strings.CutPrefix(strings.TrimSuffix(t, "]"), "socket:[")
		inode, err := strconv.ParseUint(number, 10, 64)
		return ok && err == nil && slices.Contains(inodes, inode)
	})
	return h, false
}

// inodesOf returns the sockets at an address; none if the kernel's tables cannot
// be read.
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
