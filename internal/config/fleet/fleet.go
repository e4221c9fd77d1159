// Package fleet has the settings of healing that concern several hosts: the label by which an
// exporter identifies the alerts of its own host, and the Redis servers that exporters share.
package fleet

import (
	"regexp"

	"github.com/resp-exporter/resp-exporter/internal/config/hostactions"
	"github.com/resp-exporter/resp-exporter/internal/config/schema"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// Identity is the label that an alert must carry for this exporter to act on
// it. Both are empty: it acts on all.
type Identity struct {
	Label string `yaml:"label,omitempty" want:"the name of a label, such as instance"`
	Value string `yaml:"value,omitempty" want:"the value of that label in this host's alerts, of at most 256 bytes"`
}

// Coordination is where leases and the fleet's budget are kept for all exporters together.
type Coordination struct {
	// The name of a server in the section redis; "": this exporter alone.
	Redis string `yaml:"redis,omitempty" want:"the name of a server in the section redis"`
}

// Relay is where alerts about other hosts are handed to the exporters that they are about.
type Relay struct {
	// The name of a server in the section redis; "": alerts about other hosts are not relayed.
	// It needs TokenFile and Identity.
	Redis string `yaml:"redis,omitempty" want:"the name of a server in the section redis"`
}

// Control is where the workers of an app on other hosts are asked what its workers on this
// host are asked by their control file.
type Control struct {
	// The name of a server in the section redis; "": other hosts are not asked. It needs KeyFile.
	Redis string `yaml:"redis,omitempty" want:"the name of a server in the section redis"`
	// Absolute path; the secret by which the requests are signed, which the apps have too.
	KeyFile string `yaml:"key_file,omitempty" want:"an absolute path such as /etc/resp-exporter/control-key, of another file than token_file"`
}

var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// IsLabelName reports whether s can be the name of a label, of at most 128 characters.
func IsLabelName(s string) bool { return text.Matches(labelName, s, 128) }

// Check calls need for each setting.
func (id Identity) Check(need hostactions.Need) {
	need(id.Label == "" || IsLabelName(id.Label), "identity.label", id.Label, "")
	need(id.Label != "" || id.Value == "", "identity.label", nil, "")
	need(id.Value != "" || id.Label == "", "identity.value", nil, "")
	need(len(id.Value) <= 256 && !schema.HasControl(id.Value), "identity.value", id.Value, "")
}

// Check calls need for what the relay requires beside its Redis; nothing without that.
func (r Relay) Check(need hostactions.Need, token bool, id Identity) {
	if r.Redis != "" {
		need(token, "token_file", nil, ", which relay requires")
		need(id != Identity{}, "identity.label", nil, ", which relay requires")
	}
}

// Check calls need for the secret, which must not be the one in tokenFile: whoever has that
// may send alerts, and apps have this one.
func (c Control) Check(need hostactions.Need, tokenFile string) {
	need(c.KeyFile != "" || c.Redis == "", "control.key_file", nil, ", which control requires")
	need(c.Redis != "" || c.KeyFile == "", "control.redis", nil, ", which control requires")
	need(c.KeyFile == "" || schema.IsAbsolute(c.KeyFile) && c.KeyFile != tokenFile, "control.key_file", c.KeyFile, "")
}
