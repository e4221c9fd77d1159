// Package history keeps what each request of the watched apps did, once a second: the last
// minutes in memory, the others in the state directory, or in memory too where that cannot
// be written.
package history

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// Request is what one request did at one sample.
type Request struct {
	App, Slot string // Slot is a number from 0
	PID       int
	Task      bool        // it waits in an event loop
	View      string      // "": not known
	On        string      // the values of model.Thread.On, never "idle"
	Peer      string      // as model.Thread.Peer
	Kind      string      // as model.Thread.Kind
	Line      model.Frame // the innermost of the app's own code, else the innermost; File is "" where neither is known
	Digest    string      // the statement that it waited for, without its values; "": none, or not known
	Blocker   *Blocker    // the root of what it waited for; nil: none, or not known
	Seconds   float64     // for how long it had been in On, at least
}

// Blocker is the root of the chain in which a request waited.
type Blocker struct {
	App, Slot  string // "": no worker of a watched app
	PID        int
	Server     string // "mysql:main"; "" without a connection
	Connection uint64
	Peer       string // of an address that is the root
	View       string
	Line       model.Frame // File is "": not known
}

// Moment is what all requests did at one sample.
type Moment struct {
	At       time.Time // of the sample; zero: there is none near that time
	Requests []Request // the longest wait first
	Left     int       // requests that are not listed
}

// Strip is what the requests of an app did over a time, for a stacked graph.
type Strip struct {
	App      string // "": of all apps
	From, To time.Time
	Step     time.Duration // of one bucket
	On       []string      // what occurs, the most seconds first
	Buckets  []Bucket      // one for each Step from From on, without gaps
}

// Bucket is one step of a [Strip].
type Bucket struct {
	At      time.Time // its begin
	Samples int       // that were taken in it; 0: a gap
	// Requests is how many requests were in each state on average, in the order of
	// Strip.On; nil where none was in hand.
	Requests []float64
}

// Top is what the requests of an app did over a time, by view, line and wait.
type Top struct {
	App      string // "": of all apps
	From, To time.Time
	Samples  int     // that were taken
	Seconds  float64 // of requests in hand: each sample of one stands for a second
	Rows     []Row   // the most seconds first
	Left     int     // rows that are not listed
}

// Row is one line of a [Top].
type Row struct {
	App, View      string
	Line           model.Frame
	On, Peer, Kind string
	Digest         string   // of a late one of its requests that had one
	Blocker        *Blocker // the same
	Seconds        float64  // request seconds
	Share          float64  // of Top.Seconds
	Longest        float64  // seconds that one of the requests had waited
	Workers        int      // slots that were seen in it
}

// Kept is what the history holds, and how.
type Kept struct {
	From, To time.Time // of the samples; zero: there is none
	Bytes    int       // of all samples, in files or in memory
	MaxBytes int
	Stored   bool  // it is also in the state directory
	Why      error // why it is not; nil: it is, or there is no state directory
	Counts   Counts
}

// Counts is what the bounds of the history left out, since the start.
type Counts struct {
	Requests uint64 // of a sample beyond its limit
	Details  uint64 // requests whose view, line and wait were left out, as an app had too many different ones
	Workers  uint64 // whose last samples were not kept, as there were too many
	Evicted  uint64 // seconds that were dropped before their time to keep the size
	Damaged  uint64 // files that were damaged, and set aside
	Unread   uint64 // files that were gone or damaged when they were read for a query, or the directory was opened again
	Unsaved  uint64 // samples that could not be written to the state directory
}
