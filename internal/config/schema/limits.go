package schema

import "gopkg.in/yaml.v3"

// off is the value of a threshold that is switched off.
const off = "off"

// limits reads a mapping of thresholds that can be switched off.
func (d *Decoder) limits(to LimitsSetter) setter {
	var entries []entry
	for _, f := range to.LimitKeys() {
		entries = append(entries, entry{f.Key, d.limit(to, f)})
	}
	return d.mapping(entries)
}

// limit reads one of them.
func (d *Decoder) limit(to LimitsSetter, f Field) setter {
	severities := []string{"warning", "critical"}
	var entries []entry
	for _, severity := range severities {
		entries = append(entries, entry{severity, d.limitNumber(to, f, severity)})
	}
	both := d.mapping(entries)
	return func(n *yaml.Node, path string) {
		switch {
		case isOff(n):
			for _, severity := range severities {
				to.SetLimit(f.Key, severity, 0, true)
			}
		case n.Kind == yaml.ScalarNode && !empty(n):
			d.wrong(n, path, "off, or a mapping of "+keys(entries))
		default:
			both(n, path)
		}
	}
}

// limitNumber reads the number of one severity.
func (d *Decoder) limitNumber(to LimitsSetter, f Field, severity string) setter {
	return func(n *yaml.Node, path string) {
		if isOff(n) {
			to.SetLimit(f.Key, severity, 0, true)
			return
		}
		var v float64
		d.number(&v, f.Want+", or off")(n, path)
		if !d.bad[path] {
			to.SetLimit(f.Key, severity, v, false)
		}
	}
}

// isOff reports whether a node is the word off, without a tag or an anchor.
func isOff(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Anchor == "" && n.ShortTag() == tagStr && n.Value == off
}
