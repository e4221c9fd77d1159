package statement

// Keywords are the words of statements that may be published.
func Keywords() []string { k := keywords(); return k[:] }

// MaxText bounds a summary, in bytes.
const MaxText = maxText
