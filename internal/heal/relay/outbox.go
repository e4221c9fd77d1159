package relay

import (
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/redis/relaystream"
)

// The bounds of the alerts that wait for an acknowledgement.
const (
	maxWaiting      = 20_000
	maxWaitingBytes = 32 << 20
	keepFor         = time.Hour // an alert that is not acknowledged by then is lost
)

// waiting is one alert that waits for the acknowledgement of the exporter that it is
// about. The first fields are on the disk.
type waiting struct {
	Item    string          `json:"item"`
	Address string          `json:"address"`
	Key     string          `json:"key"`
	Since   time.Time       `json:"since"`
	Alert   json.RawMessage `json:"alert"`

	progress
}

// progress is how far the sending of an alert is. Only the sender changes it.
type progress struct {
	id     string    // in the stream; "": not put by this process
	behind string    // the item of another receiver that is pending for the same alert
	sent   time.Time // when it was put, or found to be pending; zero: it must be put
	next   time.Time // when to look after it again
	tries  int       // looks since it was put
	puts   int
}

// awaits returns the item whose acknowledgement is waited for: that of another receiver
// which is pending for the same alert, or else the alert's own.
func (w *waiting) awaits() string {
	if w.behind != "" {
		return w.behind
	}
	return w.Item
}

// size returns about how many bytes the entry takes in memory.
func (w *waiting) size() int { return len(w.Address) + len(w.Key) + len(w.Alert) + 200 }

// outbox has the alerts that wait, in the order of their arrival. What is in it was
// written to the disk before.
type outbox struct {
	mu    sync.Mutex
	list  []*waiting
	known map[string]bool // by address and key
	bytes int
}

// newOutbox returns an empty outbox.
func newOutbox() *outbox { return &outbox{known: make(map[string]bool)} }

// nameOf returns the name of an entry in the outbox: its key, a space and its address.
func nameOf(address, key string) string { return key + " " + address } // a key has no space

// has reports whether an alert of that key waits already for an address.
func (o *outbox) has(address, key string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.known[nameOf(address, key)]
}

// fits reports whether there is room for n more alerts of so many bytes in all: maxWaiting
// and maxWaitingBytes.
func (o *outbox) fits(n, bytes int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.list)+n <= maxWaiting && o.bytes+bytes <= maxWaitingBytes
}

// add adds alerts to those that wait. One that waits already is left out.
func (o *outbox) add(list ...*waiting) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, w := range list {
		name := nameOf(w.Address, w.Key)
		if o.known[name] {
			continue
		}
		o.known[name] = true
		o.list = append(o.list, w)
		o.bytes += w.size()
	}
}

// remove removes alerts by their items.
func (o *outbox) remove(items map[string]bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = slices.DeleteFunc(o.list, func(w *waiting) bool {
		if !items[w.Item] {
			return false
		}
		delete(o.known, nameOf(w.Address, w.Key))
		o.bytes -= w.size()
		return true
	})
}

// all returns the alerts that wait, the oldest first, in a new list.
func (o *outbox) all() []*waiting {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.list)
}

// state returns how many alerts wait, about how many bytes they have, and since when the
// oldest does; the zero time if none does.
func (o *outbox) state() (n, bytes int, oldest time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.list) > 0 {
		oldest = o.list[0].Since
	}
	return len(o.list), o.bytes, oldest
}

// entryOf returns the entry of an alert that waits, without its HMAC.
func entryOf(w *waiting, now time.Time) relaystream.Entry {
	return relaystream.Entry{To: w.Address, Item: w.Item, Key: w.Key, Got: w.Since.UnixMilli(), Sent: now.UnixMilli(), Alert: w.Alert}
}
