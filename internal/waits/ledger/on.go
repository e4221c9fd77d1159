// Package ledger adds up what threads spent their time on: seconds of each worker
// and view by what was waited for. It is pure: it reads nothing and has no clock.
package ledger

// On is what a thread does or waits for in one sample.
type On uint8

// The values of On. CPU, CPUQueue and Throttled come from the kernel's totals and
// are not sampled; GC is a part of CPU.
const (
	CPU       On = iota // runs
	CPUQueue            // ready to run without a processor
	Throttled           // kept from running by the CPU limit of its control group
	GC                  // runs the collector of the interpreter
	GIL                 // waits for the interpreter's lock
	MySQL
	Redis
	Upstream // any other peer
	Client   // a connection that was accepted from a listener of the app
	Lock
	Disk
	Sleep
	Child // waits for a process
	Idle  // no request in hand
	Loop  // an event loop waits in its poll with requests in hand
	Other
	Unknown // may not be read
	numOn
)

// names returns the values of the label "on", by On.
func names() [numOn]string {
	return [numOn]string{
		"cpu", "cpu_queue", "throttled", "gc", "gil", "mysql", "redis", "upstream", "client", "lock", "disk", "sleep", "child", "idle", "loop", "other", "unknown",
	}
}

// String returns the value of the label "on"; "unknown" for a number that is no On.
func (o On) String() string {
	if o >= numOn {
		return "unknown"
	}
	return names()[o]
}

// Parse returns the On with that name; Other for any other name.
func Parse(name string) On {
	for i, n := range names() {
		if n == name {
			return On(i)
		}
	}
	return Other
}

// All returns every On in its order.
func All() []On {
	out := make([]On, numOn)
	for i := range out {
		out[i] = On(i)
	}
	return out
}

// Seconds is seconds by what they were spent on.
type Seconds [numOn]float64

// Sum returns the sum of the seconds of all kinds.
func (s *Seconds) Sum() (sum float64) {
	for _, v := range s {
		sum += v
	}
	return sum
}
