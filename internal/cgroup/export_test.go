package cgroup

// The parsers, for tests of the outer package.
var (
	ParseMemoryLimit = parseMemoryLimit
	ParseCPUMax      = parseCPUMax
	ParseQuota       = parseQuota
	Field            = field
	Within           = relativeTo
)

// Locate finds the group of a process from the texts of its /proc/PID/cgroup
// and our /proc/self/mountinfo, and gives the directories.
func Locate(cgroup, mountinfo []byte, sys string) (path, memory, cpu string, err error) {
	m, err := parseMembership(cgroup)
	if err != nil {
		return "", "", "", err
	}
	g, err := m.group(relocate(parseMounts(mountinfo), sys))
	return g.path, g.memory.dir, g.cpu.dir, err
}
