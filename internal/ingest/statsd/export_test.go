package statsd

// TableDrops is tableDrops, for tests with their own table.
var TableDrops = tableDrops

// DropsBothWays returns the kernel's counter by getsockopt and from the table.
func (l *Listener) DropsBothWays() (fromOption, fromTable uint32, ok bool) {
	fromOption, first := memInfoDrops(l.sock.fd)
	fromTable, second := l.sock.fileDrops()
	return fromOption, fromTable, first && second
}

// InheritedOf returns an Inherited with one socket.
func InheritedOf(key string, fd int) *Inherited { return &Inherited{map[string]int{key: fd}} }
