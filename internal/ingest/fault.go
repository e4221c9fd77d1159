package ingest

// Fault is why a line or datagram is malformed.
type Fault uint8

// The faults of lines.
const (
	FaultShape Fault = iota // not a line of the protocol
	FaultValue              // a value or a status code out of range
	FaultRate               // a sample rate out of range
	FaultType               // a type that the protocol does not have
	FaultSize               // a datagram or a line that is too long
	Faults                  // the number of faults
)

// String returns the code of a fault, such as "shape"; "unknown" for any other number.
func (f Fault) String() string {
	if f >= Faults {
		return "unknown"
	}
	return [Faults]string{"shape", "value", "rate", "type", "size"}[f]
}
