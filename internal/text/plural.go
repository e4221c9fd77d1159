package text

import "strconv"

// Plural returns a number without decimals and the word for it: one for 1, else many.
func Plural(n float64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatFloat(n, 'f', 0, 64) + " " + many
}
