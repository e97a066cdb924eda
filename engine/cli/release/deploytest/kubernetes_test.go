package deploytest

import (
	"bytes"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// manifests are the objects of kubernetes.yaml, one of each kind.
type manifests struct {
	config     core.ConfigMap
	deployment apps.Deployment
	service    core.Service
	budget     policy.PodDisruptionBudget
	network    networking.NetworkPolicy
}

// load decodes each object into the type of its kind. A key that the type lacks is
// an error.
func load(t *testing.T) *manifests {
	t.Helper()
	m := &manifests{}
	into := map[string]any{"ConfigMap": &m.config, "Deployment": &m.deployment, "Service": &m.service,
		"PodDisruptionBudget": &m.budget, "NetworkPolicy": &m.network}
	versions := map[string]string{"ConfigMap": "v1", "Deployment": "apps/v1", "Service": "v1", "PodDisruptionBudget": "policy/v1", "NetworkPolicy": "networking.k8s.io/v1"}
	for _, text := range bytes.Split(read(t, deploy+"kubernetes.yaml"), []byte("\n---\n")) {
		text = append(bytes.Clone(text), '\n') // bytes.Split has removed the end of the last line
		var kind meta.TypeMeta
		if err := yaml.Unmarshal(text, &kind); err != nil {
			t.Fatal(err)
		}
		object, known := into[kind.Kind]
		if !known || kind.APIVersion != versions[kind.Kind] {
			t.Fatalf("%s of %s is not expected, or is there twice", kind.Kind, kind.APIVersion)
		}
		delete(into, kind.Kind)
		if err := yaml.UnmarshalStrict(text, object); err != nil {
			t.Errorf("%s: %v", kind.Kind, err)
		}
	}
	if len(into) > 0 {
		t.Fatalf("missing: %v", reflect.ValueOf(into).MapKeys())
	}
	return m
}

func TestManifestsBelongTogether(t *testing.T) {
	m := load(t)
	if got, want := m.config.Data["moot.yaml"], string(read(t, deploy+"moot.yaml")); got != want {
		t.Errorf("the ConfigMap does not hold moot.yaml, which the tests of the program check:\n%s", got)
	}
	labels := m.deployment.Spec.Template.Labels
	for what, selector := range map[string]map[string]string{
		"deployment": m.deployment.Spec.Selector.MatchLabels, "service": m.service.Spec.Selector,
		"budget": m.budget.Spec.Selector.MatchLabels, "network policy": m.network.Spec.PodSelector.MatchLabels,
		"spread": m.deployment.Spec.Template.Spec.TopologySpreadConstraints[0].LabelSelector.MatchLabels,
	} {
		if !reflect.DeepEqual(selector, labels) {
			t.Errorf("the %s selects %v, the pods are %v", what, selector, labels)
		}
	}
	c := m.deployment.Spec.Template.Spec.Containers[0]
	ports := map[string]bool{}
	for _, p := range c.Ports {
		ports[p.Name] = true
	}
	for what, port := range map[string]string{
		"service": m.service.Spec.Ports[0].TargetPort.StrVal, "startup": c.StartupProbe.HTTPGet.Port.StrVal, "liveness": c.LivenessProbe.HTTPGet.Port.StrVal,
		"readiness": c.ReadinessProbe.HTTPGet.Port.StrVal, "network policy": m.network.Spec.Ingress[0].Ports[0].Port.StrVal,
	} {
		if !ports[port] {
			t.Errorf("the %s names port %q, which the container lacks", what, port)
		}
	}
	mounts := map[string]bool{}
	for _, v := range m.deployment.Spec.Template.Spec.Volumes {
		mounts[v.Name] = true
	}
	for _, v := range c.VolumeMounts {
		if !mounts[v.Name] {
			t.Errorf("there is no volume %s", v.Name)
		}
	}
	if v := m.deployment.Spec.Template.Spec.Volumes[0].ConfigMap; v == nil || v.Name != m.config.Name {
		t.Error("the first volume is not the ConfigMap")
	}
	if min := m.budget.Spec.MinAvailable.IntValue(); min < 1 || int32(min) >= *m.deployment.Spec.Replicas {
		t.Errorf("%d of %d pods stay: none could be evicted", min, *m.deployment.Spec.Replicas)
	}
}

func TestPodsHaveNoPrivileges(t *testing.T) {
	pod := load(t).deployment.Spec.Template.Spec
	c := pod.Containers[0].SecurityContext
	if !*pod.SecurityContext.RunAsNonRoot || *pod.SecurityContext.RunAsUser == 0 || pod.SecurityContext.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault ||
		*pod.AutomountServiceAccountToken || *c.AllowPrivilegeEscalation || !*c.ReadOnlyRootFilesystem || !slices.Equal(c.Capabilities.Drop, []core.Capability{"ALL"}) || c.Capabilities.Add != nil {
		t.Errorf("%+v %+v", pod.SecurityContext, c)
	}
	for _, e := range pod.Containers[0].Env {
		if secret := strings.Contains(e.Name, "KEY") || strings.Contains(e.Name, "SECRET") || strings.Contains(e.Name, "PASSWORD"); secret && (e.Value != "" || e.ValueFrom.SecretKeyRef == nil) {
			t.Errorf("%s is not in the Secret", e.Name)
		}
	}
}

// TestAPodMayEndInItsTime checks that the grace period of a pod covers the drain delay, the drain and 5 s more.
func TestAPodMayEndInItsTime(t *testing.T) {
	m := load(t)
	of := func(setting, text string) time.Duration {
		found := regexp.MustCompile(`(?m)^` + setting + `: (\w+)`).FindStringSubmatch(text)
		if found == nil {
			t.Fatalf("%s is not set", setting)
		}
		d, err := time.ParseDuration(found[1])
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	var settings map[string]any
	if err := yaml.Unmarshal([]byte(m.config.Data["moot.yaml"]), &settings); err != nil || settings["drain"] != nil {
		t.Fatalf("drain is not the default, which this test takes it for (%v)", err)
	}
	takes := of("drainDelay", m.config.Data["moot.yaml"]) + of("drain", string(read(t, root+"config.yaml"))) + 5*time.Second
	if grace := time.Duration(*m.deployment.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second; grace < takes {
		t.Errorf("a pod is killed after %v, a server may take %v", grace, takes)
	}
}
