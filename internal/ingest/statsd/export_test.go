package statsd

// TableDrops lets tests read a table of their own.
var TableDrops = tableDrops

// DropsBothWays reads the kernel's count by getsockopt and from the table.
func (l *Listener) DropsBothWays() (fromOption, fromTable uint32, ok bool) {
	fromOption, first := memInfoDrops(l.sock.fd)
	fromTable, second := l.sock.fileDrops()
	return fromOption, fromTable, first && second
}

// InheritedOf is what a supervisor passed one socket to.
func InheritedOf(key string, fd int) *Inherited { return &Inherited{map[string]int{key: fd}} }
