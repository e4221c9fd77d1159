package model

// Reported is the sessions and the traces of memory that the workers of an app report in
// their memory files.
type Reported struct {
	App             string
	SessionPrefix   string   // of the sessions that Flask-Session keeps in Redis
	SessionLifetime *float64 // seconds; nil: the app has none
	Traces          []MemoryTrace
}

// MemoryTrace is which lines of a worker have allocated memory during a trace and not
// freed it.
type MemoryTrace struct {
	Run   string
	PID   int
	Lines []MemoryLine // the most bytes first, 16 at most
}

// MemoryLine is what one line has allocated.
type MemoryLine struct {
	File          string
	Line          int
	Blocks, Bytes float64
}
