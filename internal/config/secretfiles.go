package config

import (
	"maps"
	"slices"
)

// SecretFiles returns the files of passwords, tokens and the control key that the configuration
// names, in alphabetical order, each once; not those of TLS that a Redis URL names.
func (c *Config) SecretFiles() []string {
	files := map[string]bool{c.Healing.TokenFile: true, c.Healing.Control.KeyFile: true}
	for _, m := range c.MySQL {
		files[m.PasswordFile] = true
	}
	for _, r := range c.Redis {
		files[r.PasswordFile] = true
	}
	for _, r := range c.Healing.Rules {
		for _, s := range r.Steps {
			if s.CallHTTP != nil {
				files[s.CallHTTP.TokenFile] = true
			}
		}
	}
	delete(files, "")
	return slices.Sorted(maps.Keys(files))
}
