package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"gopkg.in/yaml.v3"
)

// each calls f with every service, in the order of their names, and gathers
// what it finds.
func (c composed) each(f func(s types.ServiceConfig, found func(format string, args ...any))) (out []string) {
	for _, name := range c.project.ServiceNames() {
		f(c.project.Services[name], func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) })
	}
	return out
}

// secretWord is what may be put into a statement and a URL as it is.
var secretWord = regexp.MustCompile(`^[A-Za-z0-9]{20,}$`)

// sources returns a line for each file or volume that a container is to have and that does
// not exist.
func sources(c composed) []string {
	out := c.each(func(s types.ServiceConfig, found func(string, ...any)) {
		for _, v := range s.Volumes {
			info, err := os.Stat(v.Source)
			switch {
			case v.Type != types.VolumeTypeBind:
				if _, ok := c.project.Volumes[v.Source]; !ok {
					found("%s: no volume %s", s.Name, v.Source)
				}
			case err != nil:
				found("%s: %v", s.Name, err)
			case strings.HasSuffix(v.Target, ".sh") && info.Mode()&0o111 == 0:
				found("%s: %s is not executable, so that it would run in the shell of who starts it", s.Name, v.Target)
			}
		}
		for name, value := range s.Environment {
			if value != nil && anyPath.MatchString(*value) && !exists(c.hostPath(s.Name, *value)) {
				found("%s: %s is %s, which it is not given", s.Name, name, *value)
			}
		}
		for _, ref := range s.Configs {
			if _, err := os.Stat(c.project.Configs[ref.Source].File); err != nil {
				found("%s: config %s: %v", s.Name, ref.Source, err)
			}
		}
		if s.Build == nil {
			return
		}
		if info, err := os.Stat(s.Build.Context); err != nil || !info.IsDir() {
			found("%s: build context %s is no directory", s.Name, s.Build.Context)
		}
		stages, err := parseDockerfile(filepath.Join(s.Build.Context, s.Build.Dockerfile))
		if err != nil {
			found("%s: %v", s.Name, err)
		} else if s.Build.Target != "" && !slices.ContainsFunc(stages, func(st stage) bool { return st.name == s.Build.Target }) {
			found("%s: the Dockerfile has no stage %s", s.Name, s.Build.Target)
		}
	})
	for name, secret := range c.project.Secrets {
		if b, err := os.ReadFile(secret.File); err != nil || !secretWord.Match(b) {
			out = append(out, fmt.Sprintf("secret %s is no word: %v", name, err))
		}
	}
	return out
}

// ports returns a line for each port that other hosts can reach, and for each that two
// services publish.
func ports(c composed) []string {
	by := map[string]string{}
	return c.each(func(s types.ServiceConfig, found func(string, ...any)) {
		for _, p := range s.Ports {
			switch other, taken := by[p.Published]; {
			case p.Published == "":
				found("%s publishes %d without a number", s.Name, p.Target)
			case p.HostIP != "127.0.0.1":
				found("%s publishes %s at every address", s.Name, p.Published)
			case taken:
				found("%s is published by %s and %s", p.Published, other, s.Name)
			}
			by[p.Published] = s.Name
		}
	})
}

// pinned is a tag with a version in it.
var pinned = regexp.MustCompile(`:v?\d+\.\d+`)

// images returns a line for each image whose content may change, and for each that two
// files name by different tags.
func images(c composed) []string {
	tags := map[string]string{}
	var out []string
	use := func(who, image string) {
		name, _, _ := strings.Cut(image, ":")
		// Distroless has no tags of versions; its name has Debian's.
		if !pinned.MatchString(image) && !strings.HasSuffix(name, "-debian12") {
			out = append(out, fmt.Sprintf("%s: %s is pinned to no version", who, image))
		}
		if was, ok := tags[name]; ok && was != image {
			out = append(out, fmt.Sprintf("%s: %s here, %s elsewhere", who, image, was))
		}
		tags[name] = image
	}
	local := map[string]bool{}
	for _, s := range c.project.Services {
		local[s.Image] = local[s.Image] || s.Build != nil
	}
	c.each(func(s types.ServiceConfig, _ func(string, ...any)) {
		if !local[s.Image] {
			use(s.Name, s.Image)
		}
	})
	version, err := os.ReadFile("../VERSION")
	if own := "resp-exporter/resp-exporter"; err != nil || c.project.Services["resp-exporter"].Image != own+":"+strings.TrimSpace(string(version)) {
		out = append(out, fmt.Sprintf("%s is not that of VERSION (%v)", c.project.Services["resp-exporter"].Image, err))
	}
	tags["resp-exporter/resp-exporter"] = c.project.Services["resp-exporter"].Image
	for _, file := range []string{"Dockerfile", "deploy/compose/shop.Dockerfile"} {
		stages, err := parseDockerfile(filepath.Join(c.dir, file))
		if err != nil {
			return append(out, err.Error())
		}
		for _, st := range stages {
			use(file, st.from)
		}
	}
	return append(append(out, mentions(c.dir, tags)...), goVersion(c.dir, tags["golang"])...)
}

// mentions returns a line for each place in the documentation, and beside it, that names
// one of the images by another tag.
func mentions(dir string, tags map[string]string) (out []string) {
	var files []string
	for _, pattern := range []string{"*.md", "Makefile", "docs/*.md", "docs/*/*.md", "deploy/*", "deploy/*/*", "deploy/*/*/*"} {
		found, _ := filepath.Glob(filepath.Join(dir, pattern)) // the patterns are good
		files = append(files, found...)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // a directory
		}
		for name, image := range tags {
			for _, other := range regexp.MustCompile(`\b`+regexp.QuoteMeta(name)+`:v?\d+\.\d[\w.-]*\w`).FindAllString(string(text), -1) {
				if other != image {
					out = append(out, fmt.Sprintf("%s names %s, which is %s elsewhere", strings.TrimPrefix(file, dir+"/"), other, image))
				}
			}
		}
	}
	return out
}

// goVersion returns a line for each compiler that is older than the code.
func goVersion(dir, image string) []string {
	b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return []string{err.Error()}
	}
	want := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(b))
	if want == nil || !strings.HasPrefix(image, "golang:"+want[1]) {
		return []string{fmt.Sprintf("%s builds, and go.mod wants %v", image, want)}
	}
	return nil
}

// awaited reports each dependency on a service that does not exist or never becomes
// healthy.
func awaited(c composed) []string {
	return c.each(func(s types.ServiceConfig, found func(string, ...any)) {
		for name, d := range s.DependsOn {
			other, ok := c.project.Services[name]
			switch {
			case !ok:
				found("%s waits for %s, which is not there", s.Name, name)
			case d.Condition == types.ServiceConditionHealthy && (other.HealthCheck == nil || other.HealthCheck.Disable || len(other.HealthCheck.Test) == 0):
				found("%s waits for ever: %s has no healthcheck", s.Name, name)
			}
		}
		for _, mode := range []string{s.Pid, s.NetworkMode, s.Ipc} {
			name, joins := strings.CutPrefix(mode, "service:")
			if _, ok := c.project.Services[name]; joins && !ok {
				found("%s joins %s, which is not there", s.Name, name)
			}
		}
	})
}

// confined returns a line for each thing that a container could do to the host or to
// others.
func confined(c composed) []string {
	out := c.each(func(s types.ServiceConfig, found func(string, ...any)) {
		for name, mode := range map[string]string{"pid": s.Pid, "network": s.NetworkMode, "ipc": s.Ipc, "uts": s.Uts, "cgroup": s.Cgroup, "user": s.UserNSMode} {
			if mode == "host" {
				found("%s: its %s is the host's", s.Name, name)
			}
		}
		if s.Privileged {
			found("%s is privileged", s.Name)
		}
		if !slices.Equal(s.CapDrop, []string{"ALL"}) {
			found("%s keeps capabilities", s.Name)
		}
		for _, added := range s.CapAdd {
			found("%s adds %s", s.Name, added)
		}
		if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			found("%s may gain privileges", s.Name)
		}
		if s.MemLimit == 0 {
			found("%s has no memory limit", s.Name)
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind && (!strings.HasPrefix(v.Source, c.dir+"/") || !v.ReadOnly) {
				found("%s: %s is of the host, or may be written to", s.Name, v.Source)
			}
		}
	})
	x := c.project.Services["resp-exporter"]
	if x.User != "65532:65532" {
		out = append(out, "resp-exporter runs as "+x.User)
	}
	if !x.ReadOnly {
		out = append(out, "resp-exporter may write to its root")
	}
	stages, err := parseDockerfile(filepath.Join(c.dir, "deploy/compose/shop.Dockerfile"))
	if err != nil {
		return append(out, err.Error())
	}
	if user := stages[len(stages)-1].last("USER"); user != x.User {
		out = append(out, fmt.Sprintf("the shop runs as %s and the exporter as %s: it would see less without capabilities", user, x.User))
	}
	return out
}

// hostPath returns where a path of a container lies on this host; empty where it
// is none that it was given.
func (c composed) hostPath(service, path string) string {
	s := c.project.Services[service]
	for _, ref := range s.Secrets {
		if path == "/run/secrets/"+ref.Source {
			return c.project.Secrets[ref.Source].File
		}
	}
	for _, v := range s.Volumes {
		if rest, ok := strings.CutPrefix(path, v.Target); ok && v.Type == types.VolumeTypeBind && (rest == "" || rest[0] == '/') {
			return v.Source + rest
		}
	}
	return ""
}

// anyPath is a path inside of a container, in a command, a variable or a configuration.
var anyPath = regexp.MustCompile(`/(etc|run/secrets|var/lib/grafana)/[\w./*-]+`)

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// mapped returns a text with the container's paths replaced by the host's, and
// those that it was not given.
func (c composed) mapped(service, text string) (out string, missing []string) {
	out = anyPath.ReplaceAllStringFunc(text, func(path string) string {
		if host := c.hostPath(service, path); host != "" {
			return host
		}
		missing = append(missing, fmt.Sprintf("%s is not given %s", service, path))
		return path
	})
	return out, missing
}

// settings returns the configuration file that a service is started with, with its paths
// mapped, as a file, and the faults of its paths.
func (c composed) settings(service string) (file string, found []string) {
	for _, arg := range c.project.Services[service].Command {
		if inside, ok := strings.CutPrefix(arg, "--config.file="); ok {
			b, err := os.ReadFile(c.hostPath(service, inside))
			if err != nil {
				return "", []string{fmt.Sprintf("%s: %s: %v", service, inside, err)}
			}
			text, missing := c.mapped(service, string(b))
			file = filepath.Join(c.dir, service+".yml")
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				return "", []string{err.Error()}
			}
			return file, missing
		}
	}
	return "", []string{service + " has no --config.file"}
}

// exporterCommand reports what the exporter itself says about its command line and
// configuration, and a configuration that acts without being told to.
func exporterCommand(c composed) []string {
	x := c.project.Services["resp-exporter"]
	args, missing := c.mapped("resp-exporter", strings.Join(x.Command, "\n"))
	if out, err := composeRun(c.dir, binary, append(strings.Split(args, "\n"), "--config.check")...); err != nil {
		return append(missing, out)
	}
	file, found := c.settings("resp-exporter")
	if file == "" {
		return found
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return append(found, err.Error())
	}
	var parsed struct {
		Healing struct {
			Mode     string
			Identity struct{ Value string }
		}
	}
	if err := yaml.Unmarshal(b, &parsed); err != nil {
		return append(found, err.Error())
	}
	if parsed.Healing.Mode != "dry_run" {
		found = append(found, "healing is in mode "+parsed.Healing.Mode+", not dry_run")
	}
	scraped, err := os.ReadFile(c.hostPath("prometheus", "/etc/prometheus/prometheus.yml"))
	if err != nil || !strings.Contains(string(scraped), parsed.Healing.Identity.Value) {
		found = append(found, fmt.Sprintf("Prometheus knows no %s: %v", parsed.Healing.Identity.Value, err))
	}
	if out, err := composeRun(c.dir, binary, append([]string{x.HealthCheck.Test[2], "--help"}, x.HealthCheck.Test[3:]...)...); err != nil {
		found = append(found, out)
	}
	return found
}

// prometheusConfig returns the faults of the configuration that promtool and Prometheus
// itself report.
func prometheusConfig(c composed) []string {
	file, found := c.settings("prometheus")
	if file == "" {
		return found
	}
	out, err := composeRun(c.dir, "promtool", "check", "config", file)
	if files := ruleCount(c); err != nil || !strings.Contains(out, fmt.Sprintf("SUCCESS: %d rule files found", files)) {
		found = append(found, fmt.Sprintf("want %d rule files: %s", files, out))
	}
	if out, err := composeRun(c.dir, "prometheus", append(c.project.Services["prometheus"].Command, "--help")...); err != nil {
		found = append(found, out)
	}
	return found
}

func ruleCount(c composed) int {
	files, _ := filepath.Glob(filepath.Join(c.dir, "rules/*.rules.yml")) // the pattern is good
	return len(files)
}

// alertmanagerConfig returns the faults of the configuration that amtool and Alertmanager
// itself report, and where it differs from the example that the tests of the alerts are
// for.
func alertmanagerConfig(c composed) []string {
	file, found := c.settings("alertmanager")
	if file == "" {
		return found
	}
	if out, err := composeRun(c.dir, "amtool", "check-config", file); err != nil {
		found = append(found, out)
	}
	if out, err := composeRun(c.dir, "prometheus-alertmanager", append(c.project.Services["alertmanager"].Command, "--help")...); err != nil {
		found = append(found, out)
	}
	type routing struct {
		Route   any
		Inhibit any `yaml:"inhibit_rules"`
	}
	var both [2]routing
	for i, name := range []string{file, filepath.Join(c.dir, "rules/alertmanager.example.yml")} {
		b, err := os.ReadFile(name)
		if err == nil {
			err = yaml.Unmarshal(b, &both[i])
		}
		if err != nil {
			return append(found, err.Error())
		}
	}
	if !reflect.DeepEqual(both[0], both[1]) {
		found = append(found, "routes or inhibit rules differ from the example")
	}
	return found
}
