package cgroup

// The unexported functions that are tested directly.
var (
	ParseMemoryLimit = parseMemoryLimit
	ParseCPUMax      = parseCPUMax
	ParseQuota       = parseQuota
	Field            = field
	Within           = relativeTo
)

// Locate returns the path and the directories of a process's group, by the content of
// its /proc/PID/cgroup and of /proc/self/mountinfo.
func Locate(cgroup, mountinfo []byte, sys string) (path, memory, cpu string, err error) {
	m, err := parseMembership(cgroup)
	if err != nil {
		return "", "", "", err
	}
	g, err := m.group(relocate(parseMounts(mountinfo), sys))
	return g.path, g.memory.dir, g.cpu.dir, err
}
