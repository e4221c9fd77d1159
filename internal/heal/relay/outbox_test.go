package relay

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

func waitingAlert(n, bytes int) *waiting {
	return &waiting{Item: fmt.Sprintf("item%04d", n), Address: "instance=web-2:9868", Key: fmt.Sprintf("key%04d", n), Alert: make(json.RawMessage, bytes), Since: time.Unix(int64(n), 0)}
}

// What waits is bounded by its bytes as well as by the number of alerts, and room is free
// again once alerts were removed.
func TestOutboxBytes(t *testing.T) {
	t.Parallel()
	o := newOutbox()
	const each = 1 << 20
	size := waitingAlert(0, each).size()
	if size < each || size > each+1000 {
		t.Fatalf("an alert of %d bytes counts as %d", each, size)
	}
	n := 0
	for ; o.fits(1, size); n++ {
		o.add(waitingAlert(n, each))
	}
	if n != maxWaitingBytes/size {
		t.Errorf("%d alerts of %d bytes fit into %d", n, size, maxWaitingBytes)
	}
	o.add(waitingAlert(0, each)) // it waits already
	if got, bytes, oldest := o.state(); got != n || bytes != n*size || !oldest.Equal(time.Unix(0, 0)) {
		t.Errorf("%d alerts, %d bytes, the oldest since %s", got, bytes, oldest)
	}
	o.remove(map[string]bool{"item0000": true, "item0001": true})
	if got, bytes, oldest := o.state(); got != n-2 || bytes != (n-2)*size || !oldest.Equal(time.Unix(2, 0)) {
		t.Errorf("after two were removed: %d alerts, %d bytes, the oldest since %s", got, bytes, oldest)
	}
	if !o.fits(2, 2*size) || o.fits(3, 3*size) {
		t.Error("not as much room as was made free")
	}
}

// The number of alerts is bounded however small they are.
func TestOutboxNumber(t *testing.T) {
	t.Parallel()
	o := newOutbox()
	if !o.fits(maxWaiting, 0) || o.fits(maxWaiting+1, 0) {
		t.Errorf("not %d alerts fit", maxWaiting)
	}
	o.add(waitingAlert(0, 1))
	if o.fits(maxWaiting, 0) || !o.fits(maxWaiting-1, 0) {
		t.Error("an alert that waits does not count")
	}
}
