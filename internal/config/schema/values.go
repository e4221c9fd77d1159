package schema

import (
	"strconv"
	"time"

	"gopkg.in/yaml.v3"
)

// duration returns a setter of a duration such as 30s. It reports any other value as wrong.
func (d *Decoder) duration(to *time.Duration, want string) setter {
	return func(n *yaml.Node, path string) {
		if !d.is(n, path, want, tagStr) {
			return
		}
		v, err := ParseDuration(n.Value)
		if err != nil {
			d.wrong(n, path, want)
			return
		}
		*to = v
	}
}

// parsed returns a setter that passes text to to.SetText; an error of that, and any other
// value, becomes a fault.
func (d *Decoder) parsed(to TextSetter, want string) setter {
	return func(n *yaml.Node, path string) {
		if !d.is(n, path, want, tagStr) {
			return
		}
		if to.SetText(n.Value) != nil {
			d.wrong(n, path, want)
		}
	}
}

// number returns a setter of a number. It reports any other value as wrong.
func (d *Decoder) number(to *float64, want string) setter {
	return func(n *yaml.Node, path string) {
		if !d.is(n, path, want, tagInt, tagFloat) {
			return
		}
		var v float64
		if n.Decode(&v) != nil {
			d.wrong(n, path, want)
			return
		}
		*to = v
	}
}

// integer returns a setter of an integer. It reports any other value as wrong.
func (d *Decoder) integer(to *int, want string) setter {
	return func(n *yaml.Node, path string) {
		if !d.is(n, path, want, tagInt) {
			return
		}
		var v int
		if n.Decode(&v) != nil {
			d.wrong(n, path, want)
			return
		}
		*to = v
	}
}

// text returns a setter that reads text into to. Empty text is a fault.
func (d *Decoder) text(to *string, want string) setter {
	return func(n *yaml.Node, path string) {
		want := want
		if n.Kind == yaml.ScalarNode && !empty(n) && n.ShortTag() != tagStr {
			want += ", in quotes" // 8000 and true are no text to YAML
		}
		if !d.is(n, path, want, tagStr) {
			return
		}
		if n.Value == "" {
			d.wrong(n, path, want)
			return
		}
		*to = n.Value
	}
}

// userID returns a setter that reads text that is not empty, or a number of 32 bits without
// quotes, into to; anything else is a fault.
func (d *Decoder) userID(to *string, want string) setter {
	return func(n *yaml.Node, path string) {
		var id uint32
		if n.Kind == yaml.ScalarNode && n.Anchor == "" && n.ShortTag() == tagInt && n.Decode(&id) == nil {
			*to = strconv.FormatUint(uint64(id), 10)
			return
		}
		d.text(to, want)(n, path)
	}
}

// boolean returns a setter that reads true or false into to.
func (d *Decoder) boolean(to *bool) setter {
	return func(n *yaml.Node, path string) {
		if !d.is(n, path, "true or false", tagBool) {
			return
		}
		var v bool
		if n.Decode(&v) != nil {
			d.wrong(n, path, "true or false")
			return
		}
		*to = v
	}
}

// plain is text that is read like a secret.
type plain string

// SetSecret implements [SecretSetter].
func (p *plain) SetSecret(s string) { *p = plain(s) }

// hidden returns a setter that reads text that may hold a password and is not empty, and
// repeats none of it in a fault.
func (d *Decoder) hidden(to *string, want string) setter {
	return func(n *yaml.Node, path string) {
		d.secret((*plain)(to), want)(n, path)
	}
}

// choice returns a setter that reads true or false and passes it to to.SetBool.
func (d *Decoder) choice(to BoolSetter) setter {
	return func(n *yaml.Node, path string) {
		var v bool
		d.boolean(&v)(n, path)
		if n.ShortTag() != tagBool {
			return // it was refused
		}
		to.SetBool(v)
	}
}

// secret returns a setter that reads text that is not empty, and repeats none of it in a
// fault.
func (d *Decoder) secret(to SecretSetter, want string) setter {
	return func(n *yaml.Node, path string) {
		switch {
		case empty(n):
			d.reject(n.Line, path, "got nothing", want)
		case n.Kind != yaml.ScalarNode || n.Anchor != "" || n.ShortTag() != tagStr:
			d.reject(n.Line, path, "got a value that is not text", want)
		case n.Value == "":
			d.reject(n.Line, path, `got ""`, want)
		default:
			to.SetSecret(n.Value)
		}
	}
}

// labels returns a setter that reads a mapping with any keys of text, whose values are text.
func (d *Decoder) labels(to *map[string]string, f Field) setter {
	return func(n *yaml.Node, path string) {
		if empty(n) || !d.is(n, path, f.kind, tagMap) {
			return
		}
		seen := make(map[string]int)
		out := make(map[string]string)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != yaml.ScalarNode || key.Anchor != "" || key.ShortTag() != tagStr {
				d.wrong(key, path, f.kind)
				continue
			}
			if d.duplicate(key, path, seen) {
				continue
			}
			at := JoinPath(path, KeyText(key.Value))
			d.lines[at] = key.Line
			var value string
			d.text(&value, f.item)(n.Content[i+1], at)
			out[key.Value] = value
		}
		*to = out
	}
}
