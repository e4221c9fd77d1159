package journal

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

// Line is one line of a journal that was read.
type Line struct {
	Entry   Entry
	OK      bool   // it is an entry within all bounds
	Clamped bool   // a time in it was in the future
	Dropped int    // invalid temporary settings that were removed from it
	Text    []byte // of a broken line; valid until the next one; empty where it is too long
	Current bool   // it is of the file in use
}

// Replay calls visit with every line of both files that is not empty, the oldest first,
// broken ones too. Times after now are set to now. An error means that a file cannot be
// read; one that does not exist has no lines.
func (j *journal) Replay(now time.Time, visit func(Line)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, name := range []string{olderFile, journalFile} {
		err := func() error {
			file, err := j.file.dir.open(name, os.O_RDONLY, maxJournal)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			err = ReadLines(io.LimitReader(file, maxJournal), now, func(l Line) {
				l.Current = name == journalFile
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

// ReadLines calls visit with each line of r that is not empty, broken ones too. Times after
// now are set to now. The error is that of r.
func ReadLines(r io.Reader, now time.Time, visit func(Line)) error {
	in := bufio.NewReaderSize(r, 64<<10)
	var text []byte
	long := false
	for {
		part, err := in.ReadSlice('\n')
		if long = long || len(text)+len(part) > LineSize+1; !long {
			text = append(text, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		whole := bytes.HasSuffix(part, []byte("\n"))
		switch {
		case long:
			visit(Line{})
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

// parseLine returns a line with its entry. OK is false if it is not whole, no JSON or one
// that is nested too deep, or does not pass checkEntry.
func parseLine(text []byte, whole bool, now time.Time) Line {
	l := Line{Text: text}
	if !whole || TooDeep(text) || json.Unmarshal(text, &l.Entry) != nil {
		return l
	}
	c := checker{now: now}
	l.OK = c.checkEntry(&l.Entry)
	l.Clamped, l.Dropped = c.clamped, c.dropped
	return l
}

// TooDeep reports whether objects and lists in a JSON text are nested more than 64 deep,
// deeper than in any line that is written.
func TooDeep(text []byte) bool {
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
