package past

// The words of what a request waits for.
var (
	OnWord  = onWord
	OnClass = onClass
)

// PartWords returns the words of parts a, b, c, … of these sizes.
func PartWords(values []float64, upTo int) string {
	var parts []part
	for i, v := range values {
		parts = append(parts, part{Word: string(rune('a' + i)), Value: v})
	}
	return partWords(parts, formatLoad, upTo)
}
