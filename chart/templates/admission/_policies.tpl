{{/* What the admission policies have in common. No optional syntax, so that the expressions can be tried anywhere. */}}

{{- define "nvdra.pluginUser" -}}
system:serviceaccount:{{ include "nvdra.namespace" . }}:{{ include "nvdra.serviceAccount" . }}-kubeletplugin
{{- end }}

{{- define "nvdra.controllerUser" -}}
system:serviceaccount:{{ include "nvdra.namespace" . }}:{{ include "nvdra.serviceAccount" . }}-controller
{{- end }}

{{- define "nvdra.isPlugin" -}}
- name: by-the-plugin
  expression: request.userInfo.username == '{{ include "nvdra.pluginUser" . }}'
{{- end }}

{{- /* Tokens of pods say on which node the pod runs. */}}
{{- define "nvdra.tokenNode" -}}
- name: node
  expression: >-
    has(request.userInfo.extra) && 'authentication.kubernetes.io/node-name' in request.userInfo.extra
    ? request.userInfo.extra['authentication.kubernetes.io/node-name'][0] : ''
{{- end }}

{{- define "nvdra.knowsNode" -}}
- expression: variables.node != ''
  message: the token does not say on which node its pod runs (authentication.kubernetes.io/node-name)
  reason: Forbidden
{{- end }}

{{- /* A field of metadata, before and after, absent or not. */}}
{{- define "nvdra.oldAndNew" -}}
{{- range . }}
- name: old{{ title . }}
  expression: "has(oldObject.metadata.{{ . }}) ? oldObject.metadata.{{ . }} : {{ ternary "{}" "[]" (has . (list "labels" "annotations")) }}"
- name: new{{ title . }}
  expression: "has(object.metadata.{{ . }}) ? object.metadata.{{ . }} : {{ ternary "{}" "[]" (has . (list "labels" "annotations")) }}"
{{- end }}
{{- end }}

{{- /* All entries of a map but some are as they were: (list "Labels" "variables.ours"). */}}
{{- define "nvdra.onlyOurs" -}}
{{- $field := first . -}}{{- $ours := last . -}}
variables.new{{ $field }}.all(k, k in {{ $ours }} || (k in variables.old{{ $field }} && variables.old{{ $field }}[k] == variables.new{{ $field }}[k]))
&& variables.old{{ $field }}.all(k, k in {{ $ours }} || k in variables.new{{ $field }})
{{- end }}

{{- define "nvdra.policyBinding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ last . }}
  labels:
    {{- include "nvdra.labels" (first .) | nindent 4 }}
spec:
  policyName: {{ last . }}
  validationActions: [Deny]
{{- end }}
