package app

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
)

// exporterName is what the kernel calls the exporter's processes.
const exporterName = "resp-exporter"

// holder is a process that has an address we want.
type holder struct {
	pid  int
	name string
	sure bool // its descriptor was seen; else it is only an exporter that runs
}

// holderOf finds who listens at "udp://host:port", "unixgram:///path" or
// "tcp://host:port", of this network namespace; the zero holder if nobody can
// be told. Where the descriptors of others may not be read, another exporter
// that runs is taken for it.
func holderOf(procRoot, listen string) holder {
	fs, err := procfs.NewFS(procRoot)
	if err != nil {
		return holder{}
	}
	inodes := inodesOf(fs, listen)
	if len(inodes) == 0 {
		return holder{}
	}
	all, err := fs.AllProcs()
	if err != nil {
		return holder{}
	}
	var perhaps holder
	for _, p := range all {
		if p.PID == os.Getpid() {
			continue
		}
		name, err := p.Comm()
		if err != nil {
			continue
		}
		targets, err := p.FileDescriptorTargets()
		if err != nil {
			if name == exporterName && perhaps.pid == 0 {
				perhaps = holder{pid: p.PID, name: name}
			}
			continue
		}
		if slices.ContainsFunc(targets, func(t string) bool { return slices.Contains(inodes, t) }) {
			return holder{pid: p.PID, name: name, sure: true}
		}
	}
	return perhaps
}

// inodesOf gives the sockets at an address, as the links of descriptors read.
func inodesOf(fs procfs.FS, listen string) []string {
	var out []string
	add := func(inode uint64) { out = append(out, "socket:["+strconv.FormatUint(inode, 10)+"]") }
	if path, ok := strings.CutPrefix(listen, "unixgram://"); ok {
		if sockets, err := fs.NetUNIX(); err == nil {
			for _, s := range sockets.Rows {
				if s.Path == path {
					add(s.Inode)
				}
			}
		}
		return out
	}
	port, err := strconv.ParseUint(listen[strings.LastIndexByte(listen, ':')+1:], 10, 16)
	if err != nil {
		return nil
	}
	if strings.HasPrefix(listen, "udp://") {
		for _, read := range []func() (procfs.NetUDP, error){fs.NetUDP, fs.NetUDP6} {
			lines, _ := read() // what cannot be read has no lines
			for _, l := range lines {
				if l.LocalPort == port {
					add(l.Inode)
				}
			}
		}
		return out
	}
	const listening = 10 // TCP_LISTEN of include/net/tcp_states.h
	for _, read := range []func() (procfs.NetTCP, error){fs.NetTCP, fs.NetTCP6} {
		lines, _ := read()
		for _, l := range lines {
			if l.LocalPort == port && l.St == listening {
				add(l.Inode)
			}
		}
	}
	return out
}
