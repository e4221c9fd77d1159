package serve

import (
	"os"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

// maxSettings is the most bytes read of a file of the system or of
// --web.config.file.
const maxSettings = 1 << 20

// OwnNames returns the names of this host: the kernel's, whole and without its domain, the
// latter with each search domain of etc/resolv.conf, and the names on the same line of
// etc/hosts. Names may occur twice. nil: hostname is "". It sends no DNS query.
func OwnNames(hostname, etc string) []string {
	if hostname == "" {
		return nil
	}
	short, _, _ := strings.Cut(hostname, ".")
	names := []string{hostname, short}
	for _, f := range fieldsOf(etc + "/resolv.conf") {
		if f[0] == "search" || f[0] == "domain" {
			for _, domain := range f[1:] {
				names = append(names, short+"."+strings.Trim(domain, "."))
			}
		}
	}
	for _, f := range fieldsOf(etc + "/hosts") {
		if slices.Contains(f[1:], hostname) || slices.Contains(f[1:], short) {
			names = append(names, f[1:]...)
		}
	}
	return names
}

// fieldsOf returns the words of each line that has several, without comments; nil if the
// file cannot be read or has more than 1 MiB.
func fieldsOf(path string) (out [][]string) {
	b, err := safefile.Read(path, safefile.Policy{MaxBytes: maxSettings, AnyOwner: true})
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(b)) {
		line, _, _ = strings.Cut(line, "#")
		if f := strings.Fields(line); len(f) > 1 {
			out = append(out, f)
		}
	}
	return out
}

// HasLogin reports whether a file of --web.config.file asks every client for a password or
// for a certificate; false for "" and for a file that cannot be read or parsed. The file
// is read by the toolkit at each request, and so here.
func HasLogin(path string) bool {
	if path == "" {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	b, err := safefile.ReadAll(f, maxSettings)
	if err != nil {
		return false
	}
	var c struct {
		Users map[string]string `yaml:"basic_auth_users"`
		TLS   struct {
			ClientAuth string `yaml:"client_auth_type"`
		} `yaml:"tls_server_config"`
	}
	if yaml.Unmarshal(b, &c) != nil {
		return false
	}
	return len(c.Users) > 0 || c.TLS.ClientAuth == "RequireAndVerifyClientCert"
}
