package actions

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// line is one line of a journal that was read.
type line struct {
	entry   Entry
	ok      bool   // it is an entry within all bounds
	clamped bool   // a time in it was in the future
	text    []byte // of a broken line; valid until the next one; empty where it is too long
	current bool   // it is of the file in use
}

// Replay calls f with every entry of both files, the oldest first, before the
// first Append. Lines that are no entry are passed over and counted.
func (j *journal) Replay(f func(Entry)) (bad int, err error) {
	err = j.replay(time.Now(), func(l line) {
		if !l.ok {
			bad++
			return
		}
		j.track(l.entry)
		f(l.entry)
	})
	return bad, err
}

// replay calls visit with every line of both files, the oldest first.
func (j *journal) replay(now time.Time, visit func(line)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, name := range []string{olderFile, journalFile} {
		err := func() error {
			file, err := j.dir.open(name, os.O_RDONLY, maxJournal)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			err = readLines(io.LimitReader(file, maxJournal), now, func(l line) {
				l.current = name == journalFile
				visit(l)
			})
			return errors.Join(err, file.Close())
		}()
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	return nil
}

// ReadJournal calls f with each entry of a journal, and counts the lines that are
// none: torn ones, those that are longer than any that is written, and those with
// a value out of its bounds.
func ReadJournal(r io.Reader, f func(Entry)) (bad int, err error) {
	err = readLines(r, time.Now(), func(l line) {
		if !l.ok {
			bad++
			return
		}
		f(l.entry)
	})
	return bad, err
}

// readLines calls visit with each line that is not empty. Times after now are
// set to now.
func readLines(r io.Reader, now time.Time, visit func(line)) error {
	in := bufio.NewReaderSize(r, 64<<10)
	var text []byte
	long := false
	for {
		part, err := in.ReadSlice('\n')
		if long = long || len(text)+len(part) > lineSize+1; !long {
			text = append(text, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		whole := bytes.HasSuffix(part, []byte("\n"))
		switch {
		case long:
			visit(line{})
		case len(bytes.TrimRight(text, "\n")) == 0:
		default:
			visit(parseLine(text, whole, now))
		}
		text, long = text[:0], false
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// parseLine reads one line. One that is not whole is broken.
func parseLine(text []byte, whole bool, now time.Time) line {
	l := line{text: text}
	if !whole || deep(text) || json.Unmarshal(text, &l.entry) != nil {
		return l
	}
	c := checker{now: now}
	l.ok = c.entry(&l.entry)
	l.clamped = c.clamped
	return l
}

// deep reports whether objects and lists are nested deeper than in any line that
// is written.
func deep(text []byte) bool {
	const most = 64
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > most {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
