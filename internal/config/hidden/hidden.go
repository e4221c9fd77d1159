// Package hidden has text that no way of printing shows.
package hidden

import (
	"fmt"
	"io"
	"log/slog"
)

// hidden is what every way of printing a [Secret] returns, so that not even its
// length, or whether it is empty, can be seen.
const hidden = "<secret>"

// Secret is text that hides itself: whichever way it is printed, logged or
// encoded, it reads "<secret>". Convert it to a string to use it. Keep it in
// exported fields only: package fmt may not call methods of unexported ones
// and would print the text. Never make it the key of a map: package json takes
// such a key for plain text.
type Secret string

// SetSecret implements [schema.SecretSetter].
func (s *Secret) SetSecret(text string) { *s = Secret(text) }

// String returns "<secret>", whatever the text is.
func (Secret) String() string { return hidden }

// GoString returns "<secret>", for %#v.
func (Secret) GoString() string { return hidden }

// Format implements [fmt.Formatter], for verbs such as %x that would spell the
// text in another alphabet.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalYAML returns "<secret>", for package yaml.
func (Secret) MarshalYAML() (any, error) { return hidden, nil }

// MarshalJSON returns "<secret>" as a JSON string, for package json.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// MarshalText returns "<secret>", for every other encoding.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue returns "<secret>", for package slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }
