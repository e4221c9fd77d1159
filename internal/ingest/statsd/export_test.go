package statsd

// TableDrops lets tests read a table of their own.
var TableDrops = tableDrops

// DropsBothWays reads the kernel's count by getsockopt and from the table.
func (l *Listener) DropsBothWays() (asked, read uint32, ok bool) {
	asked, first := memInfoDrops(l.sock.fd)
	read, second := l.sock.fileDrops()
	return asked, read, first && second
}

// InheritedOf is what a supervisor passed one socket to.
func InheritedOf(key string, fd int) *Inherited { return &Inherited{map[string]int{key: fd}} }
