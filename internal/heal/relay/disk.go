package relay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

const (
	fileName = "relay.jsonl"
	// maxFile bounds the file in bytes: twice what may wait, and more than one
	// notification.
	maxFile = 2*maxWaitingBytes + 16<<20
	// slack is what the file may have beside twice what waits before it is written anew.
	slack = 4 << 20
)

// line is one line of the file: an alert that waits, or items that no longer do.
type line struct {
	Wait *waiting `json:"wait,omitempty"`
	Done []string `json:"done,omitempty"`
}

// disk is the file of the alerts that wait. It follows the state directory of healing,
// which is opened late, and may be lost.
type disk struct {
	store func() *journal.Store // nil: there is none

	mu    sync.Mutex
	of    *journal.Store // of which lines is
	lines *journal.Lines
}

// open opens the file once the directory is there, and returns its alerts, at most maxWaiting, in
// the order of their arrival, also if only rewriting the file fails; none if it was open before.
// broken is the number of lines that were skipped. [journal.ErrClosed]: there is no directory.
func (d *disk) open(now time.Time) (list []*waiting, broken int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	store := d.store()
	switch {
	case store == nil:
		return nil, 0, journal.ErrClosed
	case store == d.of:
		return nil, 0, nil
	case d.lines != nil:
		_ = d.lines.Close()
		d.of, d.lines = nil, nil
	}
	found := make(map[string]*waiting)
	var order []string
	lines, err := store.OpenLines(fileName, maxFile, func(text []byte) {
		l, ok := parseLine(text, now)
		switch {
		case !ok:
			broken++
		case l.Wait != nil && len(found) < maxWaiting:
			found[l.Wait.Item] = l.Wait
			order = append(order, l.Wait.Item)
		}
		for _, item := range l.Done {
			delete(found, item)
		}
	})
	if err != nil {
		return nil, 0, err
	}
	d.of, d.lines = store, lines
	for _, item := range order {
		if w := found[item]; w != nil {
			list = append(list, w)
			delete(found, item)
		}
	}
	return list, broken, d.replaceLocked(list)
}

// parseLine returns a line of the file; false if it is no JSON, or the alert that waits
// is too large or not as accept writes it. A time in the future is set to now.
func parseLine(text []byte, now time.Time) (l line, ok bool) {
	if err := json.Unmarshal(text, &l); err != nil {
		return line{}, false
	}
	w := l.Wait
	if w == nil {
		return l, true
	}
	a, err := decodeAlert(w.Alert)
	label, value, _ := strings.Cut(w.Address, "=")
	if err != nil || len(w.Item) != itemLength || w.Address == "" || addressOf(label, value) != w.Address || w.Key != keyOf(a) || len(w.Alert) > maxEntry {
		return line{}, false
	}
	if w.Since.After(now) {
		w.Since = now
	}
	return l, true
}

// accept appends alerts to the file, so that they wait to be sent from now on.
func (d *disk) accept(list []*waiting) error {
	var out bytes.Buffer
	for _, w := range list {
		if err := encodeLine(&out, line{Wait: w}); err != nil {
			return err
		}
	}
	return d.append(out.Bytes())
}

// done writes which items no longer wait. left returns those that do, for a file that has
// grown too large.
func (d *disk) done(items map[string]bool, left func() []*waiting, bytesLeft int) error {
	var out bytes.Buffer
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(items)), 1000) { // a line is bounded
		if err := encodeLine(&out, line{Done: chunk}); err != nil {
			return err
		}
	}
	if err := d.append(out.Bytes()); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lines == nil || d.lines.Size() < int64(2*bytesLeft+slack) {
		return nil
	}
	return d.replaceLocked(left())
}

// append appends lines. [journal.ErrClosed]: the file is not open, or the store has changed;
// another error: they cannot be written.
func (d *disk) append(data []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lines == nil || d.store() != d.of {
		return journal.ErrClosed
	}
	return d.lines.Append(data)
}

// replaceLocked writes a new file, with these alerts only.
func (d *disk) replaceLocked(list []*waiting) error {
	var out bytes.Buffer
	for _, w := range list {
		if err := encodeLine(&out, line{Wait: w}); err != nil {
			return err
		}
	}
	return d.lines.Replace(out.Bytes())
}

// encodeLine appends a line as JSON.
func encodeLine(out *bytes.Buffer, l line) error {
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("%s: %w", fileName, err)
	}
	out.Write(b)
	out.WriteByte('\n')
	return nil
}

// close closes the file; nil if none is open. open may open it again.
func (d *disk) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lines == nil {
		return nil
	}
	err := d.lines.Close()
	d.of, d.lines = nil, nil
	return err
}
