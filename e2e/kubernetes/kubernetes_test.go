// Package kubernetes_test builds the manifests of deploy/kubernetes as kustomize does, and
// reads them strictly into the types of Kubernetes and of the Prometheus Operator, so that
// an unknown key or a wrong type fails.
package kubernetes_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const manifests = "../../deploy/kubernetes"

// built returns the resources of a kustomization by their kind; there is one of each.
func built(t *testing.T, dir string) map[string]any {
	t.Helper()
	all, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(manifests, dir))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	for _, r := range all.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		kind := r.GetKind()
		if out[kind] != nil {
			t.Errorf("two of kind %s", kind)
		}
		if out[kind], err = decoded(kind, text); err != nil {
			t.Errorf("%s %s: %v", kind, r.GetName(), err)
		}
	}
	return out
}

// decoded reads a resource into the type of its kind.
func decoded(kind string, text []byte) (any, error) {
	into, ok := map[string]any{
		"Namespace": new(core.Namespace), "ServiceAccount": new(core.ServiceAccount), "ConfigMap": new(core.ConfigMap), "Service": new(core.Service),
		"DaemonSet": new(apps.DaemonSet), "Deployment": new(apps.Deployment),
		"ServiceMonitor": new(monitoring.ServiceMonitor), "PodMonitor": new(monitoring.PodMonitor), "PrometheusRule": new(monitoring.PrometheusRule),
	}[kind]
	if !ok {
		return nil, fmt.Errorf("no type for kind %q", kind)
	}
	return into, strict(text, into)
}

// strict reads YAML as the API server does with strict validation: names of keys are
// case-sensitive, none is unknown, none occurs twice.
func strict(text []byte, into any) error {
	b, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return err
	}
	unknown, err := json.UnmarshalStrict(b, into)
	return errors.Join(append(unknown, err)...)
}

// TestBase checks the DaemonSet and what finds it.
func TestBase(t *testing.T) {
	t.Parallel()
	all := built(t, "base")
	set, service, monitor := all["DaemonSet"].(*apps.DaemonSet), all["Service"].(*core.Service), all["ServiceMonitor"].(*monitoring.ServiceMonitor)
	pod := set.Spec.Template
	selects(t, "DaemonSet", set.Spec.Selector.MatchLabels, pod.Labels)
	selects(t, "Service", service.Spec.Selector, pod.Labels)
	selects(t, "ServiceMonitor", monitor.Spec.Selector.MatchLabels, service.Labels)
	checkPod(t, pod.Spec, []core.Capability{"SYS_PTRACE", "DAC_READ_SEARCH", "SYS_ADMIN"})
	if !pod.Spec.HostPID {
		t.Error("the DaemonSet does not see the processes of the node")
	}
	if got := service.Spec.Ports[0].TargetPort.StrVal; got != pod.Spec.Containers[0].Ports[0].Name {
		t.Errorf("the service leads to port %q", got)
	}
	if got := monitor.Spec.Endpoints[0].Port; got != service.Spec.Ports[0].Name {
		t.Errorf("the monitor reads port %q", got)
	}
	asJob(t, monitor.Spec.Endpoints[0].RelabelConfigs)
	config := all["ConfigMap"].(*core.ConfigMap)
	if volume := pod.Spec.Volumes[0].ConfigMap; volume == nil || volume.Name != config.Name || config.Data["resp-exporter.yml"] == "" {
		t.Errorf("the configuration %s is not that of the pod: %+v", config.Name, volume)
	}
	if all["Namespace"] != nil {
		t.Error("the base has a namespace: a kustomization with another one would relabel that")
	}
	text, err := os.ReadFile(filepath.Join(manifests, "namespace.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var ns core.Namespace
	if err := strict(text, &ns); err != nil || ns.Name != set.Namespace || ns.Labels["pod-security.kubernetes.io/enforce"] != "privileged" {
		t.Errorf("namespace %q of the base %q, labels %v: %v", ns.Name, set.Namespace, ns.Labels, err)
	}
}

// asJob checks that a monitor sets the job that the rules read.
func asJob(t *testing.T, relabel []monitoring.RelabelConfig) {
	t.Helper()
	if !slices.ContainsFunc(relabel, func(r monitoring.RelabelConfig) bool {
		return r.TargetLabel == "job" && r.Replacement != nil && *r.Replacement == "resp" && len(r.SourceLabels) == 0
	}) {
		t.Errorf("no relabeling sets the job to resp: %+v", relabel)
	}
}

// TestSidecar checks that a Deployment with the label gets the sidecar, as the user of
// the app, and that another one does not change.
func TestSidecar(t *testing.T) {
	t.Parallel()
	all := built(t, "example")
	pod, monitor := all["Deployment"].(*apps.Deployment).Spec.Template, all["PodMonitor"].(*monitoring.PodMonitor)
	selects(t, "PodMonitor", monitor.Spec.Selector.MatchLabels, pod.Labels)
	if share := pod.Spec.ShareProcessNamespace; share == nil || !*share || len(pod.Spec.Containers) != 2 {
		t.Fatalf("shareProcessNamespace %v, %d containers", share, len(pod.Spec.Containers))
	}
	at := slices.IndexFunc(pod.Spec.Containers, func(c core.Container) bool { return c.Name == "shop" })
	shop := pod.Spec.Containers[at]
	checkPod(t, pod.Spec, nil)
	asJob(t, monitor.Spec.PodMetricsEndpoints[0].RelabelConfigs)
	for _, v := range pod.Spec.Volumes {
		if v.EmptyDir != nil {
			t.Errorf("the exporter refuses the directory of the volume %s: others can write to it", v.Name)
		}
	}
	for _, c := range pod.Spec.Containers {
		if *c.SecurityContext.RunAsUser != *shop.SecurityContext.RunAsUser {
			t.Errorf("%s runs as %d, not as the app", c.Name, *c.SecurityContext.RunAsUser)
		}
		if c.Name == "resp-exporter" && c.Ports[0].Name != *monitor.Spec.PodMetricsEndpoints[0].Port {
			t.Errorf("the monitor reads port %q", *monitor.Spec.PodMetricsEndpoints[0].Port)
		}
	}
}

// checkPod checks the exporter's container of a pod: rights, mounts, image.
func checkPod(t *testing.T, pod core.PodSpec, caps []core.Capability) {
	t.Helper()
	at := slices.IndexFunc(pod.Containers, func(c core.Container) bool { return c.Name == "resp-exporter" })
	if at < 0 {
		t.Fatal("no exporter in the pod")
	}
	c := pod.Containers[at]
	version, err := os.ReadFile("../../VERSION")
	if err != nil || c.Image != "resp-exporter/resp-exporter:"+strings.TrimSpace(string(version)) {
		t.Errorf("image %s, version %s (%v)", c.Image, version, err)
	}
	s := c.SecurityContext
	if !slices.Equal(s.Capabilities.Drop, []core.Capability{"ALL"}) || !slices.Equal(s.Capabilities.Add, caps) {
		t.Errorf("capabilities %+v", s.Capabilities)
	}
	if *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || s.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault || s.Privileged != nil {
		t.Errorf("security context %+v", s)
	}
	if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
		t.Errorf("resources %+v", c.Resources)
	}
	for _, m := range c.VolumeMounts {
		if !slices.ContainsFunc(pod.Volumes, func(v core.Volume) bool { return v.Name == m.Name }) {
			t.Errorf("no volume %s", m.Name)
		}
	}
}

// selects checks that a selector finds something with these labels.
func selects(t *testing.T, what string, selector, labels map[string]string) {
	t.Helper()
	if len(selector) == 0 {
		t.Errorf("%s selects everything", what)
	}
	for k, v := range selector {
		if labels[k] != v {
			t.Errorf("%s selects %s=%s, not %s", what, k, v, labels[k])
		}
	}
}

// TestRules checks that the PrometheusRule has the groups and rules of rules/.
func TestRules(t *testing.T) {
	t.Parallel()
	rule := built(t, "base")["PrometheusRule"].(*monitoring.PrometheusRule)
	files, err := filepath.Glob("../../rules/*.rules.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no rules: %v", err)
	}
	var want monitoring.PrometheusRuleSpec
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var some monitoring.PrometheusRuleSpec
		if err := strict(text, &some); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		want.Groups = append(want.Groups, some.Groups...)
	}
	if len(want.Groups) < len(files) || !reflect.DeepEqual(rule.Spec, want) {
		t.Errorf("%d groups; rules/ has others, or %d", len(rule.Spec.Groups), len(want.Groups))
	}
}

// TestStrict checks that an unknown key, a wrong type and an unknown kind are found.
func TestStrict(t *testing.T) {
	t.Parallel()
	for text, kind := range map[string]string{
		"spec: {template: {spec: {hostPid: true}}}":       "DaemonSet",
		"spec: {template: {spec: {hostPID: yes-please}}}": "DaemonSet",
		"spec: {endpoints: [{prot: metrics}]}":            "ServiceMonitor",
		"spec: {groups: [{name: a, rules: [{alrt: A}]}]}": "PrometheusRule",
		"kind: Job": "Job",
	} {
		if _, err := decoded(kind, []byte(text)); err == nil {
			t.Errorf("taken: %s", text)
		}
	}
}
