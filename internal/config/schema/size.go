package schema

import (
	"errors"
	"strconv"
	"strings"
)

// Size is a number of bytes that is written in MiB.
type Size int64

const mib = 1 << 20

var errSize = errors.New("expected a size such as 16MiB")

// SetText sets the size from a whole number of MiB below 2³¹ without zeros before it, such as
// "16MiB" or "0MiB". Anything else is an error.
func (s *Size) SetText(text string) error {
	digits, ok := strings.CutSuffix(text, "MiB")
	n, err := strconv.ParseUint(digits, 10, 31)
	if !ok || err != nil || digits[0] == '0' && len(digits) > 1 {
		return errSize
	}
	*s = Size(n) * mib
	return nil
}

// String returns the size as the file has it.
func (s Size) String() string { return strconv.FormatInt(int64(s/mib), 10) + "MiB" }

// MarshalYAML writes the size as the file has it.
func (s Size) MarshalYAML() (any, error) { return s.String(), nil }
