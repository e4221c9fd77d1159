package redis

import (
	"math"
	"strconv"
)

// Number returns the value of a decimal number from 0 to 2^63-1; nil if s is not one.
func Number(s string) *float64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > math.MaxInt64 {
		return nil
	}
	v := float64(n)
	return &v
}
