package control

// Abandon ends a Writer as a SIGKILL ends its exporter: the kernel unlocks the directory,
// and the files stay.
func Abandon(w *Writer) { w.dir.close() }
