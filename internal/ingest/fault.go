package ingest

// Fault is why a line of a sender cannot be read.
type Fault uint8

// The faults of lines.
const (
	FaultShape Fault = iota // not a line of the protocol
	FaultValue              // a value or a status code out of its bounds
	FaultRate               // a sample rate out of its bounds
	FaultType               // a type that the protocol does not have
	FaultSize               // a datagram or a line that is too long
	Faults                  // how many there are
)

// String returns the code of a fault as it is shown.
func (f Fault) String() string {
	if f >= Faults {
		return "unknown"
	}
	return [Faults]string{"shape", "value", "rate", "type", "size"}[f]
}
