package appside

import (
	"encoding/binary"
	"iter"
)

// The layout of a memory file, as the constants at the top of resp_flask.py have it:
// a header, then slots of one size. Numbers are little-endian.
const (
	magic    = "RESPMEM1"
	family   = "RESPMEM" // how the files of all versions begin, before their size and their pid
	headAt   = 16        // the end of that
	slotSize = 256
	requests = 128
	pools    = 16
	tasks    = 32
	growths  = 16

	requestsAt = 2 * slotSize
	poolsAt    = requestsAt + requests*slotSize
	tasksAt    = poolsAt + pools*slotSize

	growthsAt = tasksAt + tasks*slotSize

	// The lines that are not sent yet: the length of their text, four bytes that are not used,
	// and the text.
	unsentAt   = growthsAt + growths*slotSize
	unsentSize = 14 * slotSize
	unsentMax  = unsentSize - 8 // bytes of the text

	// Size is the size of a memory file in bytes.
	Size = unsentAt + unsentSize

	countersAt = 64
	controlAt  = 112
	garbageAt  = 128
	nameAt     = 200
	cyclesAt   = 256
	sessionsAt = 280
	shedAt     = 328
	queueAt    = 352
)

// The fields of the slots, from the beginning of a slot: the first four bytes are its
// sequence number, which is odd while it is written, and the next four say if it is used.
const (
	methodMax = 16
	routeMax  = 200
	poolMax   = 32
	siteMax   = 158 // file, function and route
	taskMax   = 48
	runMax    = 32
	prefixMax = 42
	fileMax   = 150
	nameMax   = 56
)

// The flags of what a process says about its control file.
const (
	flagFollows = 1 << iota
	flagThrottled
	flagRefused
	flagQueueTime
)

// cutOff is the highest state of the slot of a request: 0 is free, 1 in progress, 2 cut off.
const cutOff = 2

// cutAt is where the slot of a request says when it was cut off.
const cutAt = 240

// slots iterates over the offsets of the slots, in order; the first is that of the last
// garbage collection.
func slots() iter.Seq[int] {
	return func(yield func(int) bool) {
		if !yield(garbageAt) {
			return
		}
		for at := requestsAt; at < unsentAt; at += slotSize {
			if !yield(at) {
				return
			}
		}
	}
}

// slotEnd returns the offset behind the slot that begins at an offset: the first one has
// another size than the others.
func slotEnd(at int) int {
	if at == garbageAt {
		return sessionsAt
	}
	return at + slotSize
}

// confirm compares the sequence numbers of one read with those of a later one, and marks in
// first each slot that was written during or between them as one that is being written. It
// reports whether there was one.
func confirm(first, later []byte) (written bool) {
	for at := range slots() {
		n := binary.LittleEndian.Uint32(first[at:])
		if n%2 == 1 || n != binary.LittleEndian.Uint32(later[at:]) {
			binary.LittleEndian.PutUint32(first[at:], n|1)
			written = true
		}
	}
	return written
}

// replace copies from a later read the slots that were being written during this one.
func replace(first, later []byte) {
	for at := range slots() {
		if binary.LittleEndian.Uint32(first[at:])%2 == 1 {
			copy(first[at:slotEnd(at)], later[at:slotEnd(at)])
		}
	}
}
