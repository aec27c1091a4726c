// What Kubernetes itself says about files of deploy/: `kube manifests FILE…`, `kube policy FILE`, `kube webhook FILE`.
// It links the very packages of a cluster, so that our own checks can be held against them.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	auditpolicy "k8s.io/apiserver/pkg/audit/policy"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/pod-security-admission/api"
	podpolicy "k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

type event struct {
	Verb       string
	RequestURI string
	User       struct {
		Username string
		Groups   []string
	}
	ObjectRef *struct{ Namespace, APIGroup, Resource, Subresource, Name string }
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// manifests decodes each document strictly and prints what the standard "restricted" refuses in pod templates.
func manifests(files []string) {
	check, err := podpolicy.NewEvaluator(podpolicy.DefaultChecks(), nil)
	must(err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(err)
		reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
		for {
			document, err := reader.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			must(err)
			var head struct{ Kind string }
			must(yaml.Unmarshal(document, &head))
			if head.Kind == "" || head.Kind == "ServiceMonitor" { // another group's
				continue
			}
			into := map[string]any{
				"ConfigMap": &corev1.ConfigMap{}, "Namespace": &corev1.Namespace{}, "Service": &corev1.Service{},
				"ServiceAccount": &corev1.ServiceAccount{}, "StatefulSet": &appsv1.StatefulSet{},
				"NetworkPolicy": &networkingv1.NetworkPolicy{}, "PodDisruptionBudget": &policyv1.PodDisruptionBudget{},
			}[head.Kind]
			if into == nil {
				must(fmt.Errorf("%s: unexpected kind %q", file, head.Kind))
			}
			if err := yaml.UnmarshalStrict(document, into); err != nil {
				must(fmt.Errorf("%s: %s: %w", file, head.Kind, err))
			}
			if set, ok := into.(*appsv1.StatefulSet); ok {
				level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
				for _, result := range check.EvaluatePod(level, &set.Spec.Template.ObjectMeta, &set.Spec.Template.Spec) {
					if !result.Allowed {
						fmt.Printf("%s: %s\n", result.ForbiddenReason, result.ForbiddenDetail)
					}
				}
			}
			fmt.Fprintln(os.Stderr, head.Kind)
		}
	}
}

// policy reads events from standard input, a line each, and prints the level of each.
func policy(file string) {
	text, err := os.ReadFile(file)
	must(err)
	loaded, err := auditpolicy.LoadPolicyFromBytes(text)
	must(err)
	evaluator := auditpolicy.NewPolicyRuleEvaluator(loaded)
	lines := json.NewDecoder(os.Stdin)
	for {
		var given event
		if err := lines.Decode(&given); errors.Is(err, io.EOF) {
			return
		} else {
			must(err)
		}
		asked := authorizer.AttributesRecord{
			User: &user.DefaultInfo{Name: given.User.Username, Groups: given.User.Groups},
			Verb: given.Verb,
			Path: given.RequestURI,
		}
		if ref := given.ObjectRef; ref != nil {
			asked.ResourceRequest = true
			asked.Namespace, asked.APIGroup, asked.Resource = ref.Namespace, ref.APIGroup, ref.Resource
			asked.Subresource, asked.Name = ref.Subresource, ref.Name
		}
		found := evaluator.EvaluatePolicyRule(asked)
		fmt.Println(found.Level)
	}
}

// webhook prints address, server name and token file of a kubeconfig, as client-go finds them.
func webhook(file string) {
	text, err := os.ReadFile(file)
	must(err)
	config, err := clientcmd.RESTConfigFromKubeConfig(text)
	must(err)
	must(json.NewEncoder(os.Stdout).Encode(map[string]string{
		"host": config.Host, "server_name": config.ServerName, "ca": config.CAFile, "token": config.BearerTokenFile,
	}))
}

func main() {
	switch os.Args[1] {
	case "manifests":
		manifests(os.Args[2:])
	case "policy":
		policy(os.Args[2])
	case "webhook":
		webhook(os.Args[2])
	}
}
