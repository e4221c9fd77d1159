package rules

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"gopkg.in/yaml.v3"
)

// Routing is what becomes of the example of an Alertmanager's configuration
// where it is run for a demo or a test.
type Routing struct {
	Webhook   string // the healer's URL
	TokenFile string
	// Of every route: how long until the first notification, between two about
	// news of a group, and between two without news.
	Wait, Interval, Repeat time.Duration
}

// Route returns the text of a configuration with the addresses and times of r. Routes,
// receivers and inhibit rules stay; no mail is sent.
func (r Routing) Route(text []byte) ([]byte, error) {
	if r.Interval <= 0 || r.Repeat <= 0 || r.Wait < 0 {
		return nil, fmt.Errorf("notify after %s, every %s, again after %s: expected 0 or more, and above 0", r.Wait, r.Interval, r.Repeat)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	r.walk(&doc)
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := errors.Join(e.Encode(&doc), e.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func (r Routing) walk(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		for _, c := range n.Content {
			r.walk(c)
		}
		return
	}
	var kept []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch key.Value {
		case "email_configs", "global":
			continue
		case "group_wait":
			value.Value = r.Wait.String()
		case "group_interval":
			value.Value = r.Interval.String()
		case "repeat_interval":
			value.Value = r.Repeat.String()
		case "url":
			value.Value = r.Webhook
		case "credentials_file":
			value.Value = r.TokenFile
		default:
			r.walk(value)
		}
		kept = append(kept, key, value)
	}
	n.Content = kept
}
