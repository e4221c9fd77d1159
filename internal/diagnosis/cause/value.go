package cause

// valueOf returns a value, and 0 where it is not known.
func valueOf(v *float64) float64 {
	if v == nil {
		return 0
	}
	return *v
}
