{{/* Names, labels and other words that several templates use. */}}

{{- /* The guide's pods are called nvidia-dra-driver-k8s-dra-driver-controller-… and …-kubelet-plugin-…. */}}
{{- define "nvdra.fullname" -}}
{{- $name := .Values.nameOverride | default "nvidia-dra-driver-k8s-dra-driver" -}}
{{- .Values.fullnameOverride | default $name | trunc 45 | trimSuffix "-" -}}
{{- end }}

{{- define "nvdra.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end }}

{{- define "nvdra.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- /* On pods: nothing that changes with the chart alone, or every release would restart them. */}}
{{- define "nvdra.podLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "nvdra.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (printf "%s-service-account" (include "nvdra.fullname" .)) -}}
{{- end }}

{{- /* The manifests of IMEX daemons, which the controller writes, know it by this name. */}}
{{- define "nvdra.daemonServiceAccount" -}}
compute-domain-daemon-service-account
{{- end }}

{{- define "nvdra.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "nvdra.pullSecretNames" -}}
{{- $names := list -}}
{{- range .Values.imagePullSecrets }}{{ $names = append $names .name }}{{ end -}}
{{- join "," $names -}}
{{- end }}

{{- /* klog's numbers, which values of the Go driver have, or our words. */}}
{{- define "nvdra.logLevel" -}}
{{- $level := toString . -}}
{{- if regexMatch "^[0-9]+$" $level -}}
{{- if ge (int $level) 6 }}debug{{ else if ge (int $level) 1 }}info{{ else }}warning{{ end -}}
{{- else -}}
{{- $level -}}
{{- end -}}
{{- end }}

{{- define "nvdra.seconds" -}}
{{- toString . | trimSuffix "s" -}}
{{- end }}

{{- define "nvdra.port" -}}
{{- regexFind "[0-9]+$" . -}}
{{- end }}

{{- /* Of the versions that are served, by discovery; helm template, which discovers nothing, claims those of a newer
       Kubernetes than --kube-version says, so the version has its say too. */}}
{{- define "nvdra.resourceApiVersion" -}}
{{- $found := .Values.resourceApiVersion -}}
{{- $since := list (list "v1" "1.34") (list "v1beta2" "1.33") (list "v1beta1" "1.32") -}}
{{- range $since -}}
{{- $offered := $.Capabilities.APIVersions.Has (printf "resource.k8s.io/%s" (first .)) -}}
{{- if and (not $found) $offered (semverCompare (printf ">=%s.0-0" (last .)) $.Capabilities.KubeVersion.Version) -}}
{{- $found = first . -}}
{{- end -}}
{{- end -}}
{{- if not $found -}}
{{- fail "the cluster serves none of resource.k8s.io/v1, v1beta2 and v1beta1: enable DynamicResourceAllocation and that API group, or say which version it will serve: --set resourceApiVersion=v1beta1" -}}
{{- end -}}
{{- $found -}}
{{- end }}

{{- /* The environment that every process of ours has. */}}
{{- define "nvdra.env" -}}
- name: NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: LOG_LEVEL
  value: {{ include "nvdra.logLevel" .Values.logVerbosity }}
- name: LOG_FORMAT
  value: {{ .Values.logFormat }}
{{- with .Values.resourceApiVersion }}
- name: RESOURCE_API_VERSION
  value: {{ . }}
{{- end }}
{{ include "nvdra.noDevices" . }}
{{- end }}

{{- define "nvdra.noDevices" -}}
# a node whose default runtime is nvidia would give every container all GPUs
- name: NVIDIA_VISIBLE_DEVICES
  value: void
{{- end }}

{{- /* The user's statecharts that one process runs, as YAML: (list $ "compute-domain" "imex-domain"). */}}
{{- define "nvdra.statecharts" -}}
{{- $found := dict -}}
{{- range rest . }}
{{- if hasKey (first $).Values.statecharts . }}{{ $_ := set $found . (get (first $).Values.statecharts .) }}{{ end -}}
{{- end -}}
{{- toYaml $found -}}
{{- end }}

{{- define "nvdra.placement" -}}
{{- with .imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .pod.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
