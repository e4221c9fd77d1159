package schema

import (
	"regexp"

	"gopkg.in/yaml.v3"

	"github.com/resp-exporter/resp-exporter/internal/text"
)

// The tags that the parser gives to nodes.
const (
	tagMap   = "!!map"
	tagSeq   = "!!seq"
	tagStr   = "!!str"
	tagInt   = "!!int"
	tagFloat = "!!float"
	tagBool  = "!!bool"
	tagNull  = "!!null"
)

// empty reports whether a node is null, as a key with nothing after it is.
func empty(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Anchor == "" && n.ShortTag() == tagNull
}

// kindOf returns the kind of a node with a tag: a scalar unless it is a mapping or a
// sequence.
func kindOf(tag string) yaml.Kind {
	switch tag {
	case tagMap:
		return yaml.MappingNode
	case tagSeq:
		return yaml.SequenceNode
	default:
		return yaml.ScalarNode
	}
}

// JoinPath returns the path of a key of a mapping, "path.key"; the key alone at the root.
func JoinPath(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// KeyText returns an unknown key as part of a path: as it is if it is plain and has at most
// 64 characters, else as [Quote] does.
func KeyText(s string) string {
	if text.Matches(plainKey, s, 64) {
		return s
	}
	return Quote(s)
}

// describe returns a node as text: what it is, if that is an alias, an anchor, a tag, a
// list, a mapping or nothing, else its value, in quotes if it is text to YAML.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.AliasNode:
		return "an alias"
	case n.Anchor != "":
		return "an anchor"
	case n.Style&yaml.TaggedStyle != 0:
		return "the tag " + OneLine(n.ShortTag())
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.ShortTag() == tagNull:
		return "nothing"
	case n.ShortTag() == tagStr:
		return Quote(n.Value)
	default:
		return OneLine(n.Value)
	}
}
