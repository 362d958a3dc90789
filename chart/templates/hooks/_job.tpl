{{/* A Job around a release: (dict "root" $ "name" … "account" … "command" (list …) "annotations" … "retries" 0 "env" (list …)). */}}
{{- define "nvdra.hookJob" -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .name }}
  namespace: {{ include "nvdra.namespace" .root }}
  labels:
    {{- include "nvdra.labels" .root | nindent 4 }}
  annotations:
    {{- toYaml .annotations | nindent 4 }}
spec:
  backoffLimit: {{ .retries }}
  activeDeadlineSeconds: 180
  template:
    metadata:
      labels:
        {{- include "nvdra.podLabels" .root | nindent 8 }}
        nvidia-dra-driver-gpu-component: {{ last .command }}
    spec:
      serviceAccountName: {{ .account }}
      restartPolicy: Never
      {{- with include "nvdra.placement" (dict "pod" (pick .root.Values.controller "nodeSelector" "tolerations" "podSecurityContext" "priorityClassName") "imagePullSecrets" .root.Values.imagePullSecrets) | trim }}
      {{- . | nindent 6 }}
      {{- end }}
      containers:
        - name: {{ last .command }}
          image: {{ include "nvdra.image" .root }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          command: {{ toJson .command }}
          env:
            {{- with .env }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
            {{- include "nvdra.noDevices" .root | nindent 12 }}
          terminationMessagePolicy: FallbackToLogsOnError
          {{- with .root.Values.controller.containers.computeDomain.securityContext }}
          securityContext:
            {{- toYaml . | nindent 12 }}
          {{- end }}
{{- end }}
