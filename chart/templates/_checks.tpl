{{/* What cannot be installed, each with its reason and the way out. Spelling is checked by values.schema.json. */}}

{{- define "nvdra.checks" -}}
{{- if .Values.namespace -}}
{{- fail "namespace: give it to helm itself: helm install … --create-namespace --namespace NAME" -}}
{{- end -}}
{{- if and (eq (include "nvdra.namespace" .) "default") (not .Values.allowDefaultNamespace) -}}
{{- fail "the driver is not installed into the namespace 'default': use --create-namespace --namespace nvidia-dra-driver-gpu, or --set allowDefaultNamespace=true" -}}
{{- end -}}
{{- if .Values.resources.gpus.enabled -}}
{{- fail "resources.gpus.enabled=true: this version serves ComputeDomains only; allocation of GPUs comes with a later milestone. Use --set resources.gpus.enabled=false and the device plugin for GPUs, as the guide does for MNNVL" -}}
{{- end -}}
{{- if not .Values.resources.computeDomains.enabled -}}
{{- fail "resources.computeDomains.enabled=false would install nothing: this version serves ComputeDomains only" -}}
{{- end -}}
{{- include "nvdra.checks.controller" . -}}
{{- include "nvdra.checks.plugin" . -}}
{{- include "nvdra.checks.statecharts" . -}}
{{- include "nvdra.checks.goDriver" . -}}
{{- end }}

{{- define "nvdra.checks.controller" -}}
{{- $election := .Values.controller.leaderElection -}}
{{- if and (gt (int .Values.controller.replicas) 1) (not $election.enabled) -}}
{{- fail (printf "controller.replicas=%d without controller.leaderElection.enabled=true: two controllers would write over one another" (int .Values.controller.replicas)) -}}
{{- end -}}
{{- $lease := float64 (include "nvdra.seconds" $election.leaseDuration) -}}
{{- $renew := float64 (include "nvdra.seconds" $election.renewDeadline) -}}
{{- $retry := float64 (include "nvdra.seconds" $election.retryPeriod) -}}
{{- if or (ge $retry $renew) (ge $renew $lease) -}}
{{- fail (printf "controller.leaderElection: retryPeriod (%v) must be shorter than renewDeadline (%v), and that shorter than leaseDuration (%v): two could lead at once" $election.retryPeriod $election.renewDeadline $election.leaseDuration) -}}
{{- end -}}
{{- if and .Values.controller.metrics.enabled .Values.controller.metrics.profilePath -}}
{{- fail "controller.metrics.profilePath: profiles of a Go program; there are none here" -}}
{{- end -}}
{{- range $name, $_ := omit .Values.imexDaemons.resources "requests" -}}
{{- fail (printf "imexDaemons.resources.%s: only requests; an IMEX daemon that is ended for its memory ends its peers' jobs" $name) -}}
{{- end -}}
{{- end }}

{{- define "nvdra.checks.plugin" -}}
{{- with .Values.kubeletPlugin.updateStrategy.rollingUpdate -}}
{{- if and .maxSurge (ne (toString .maxSurge) "0") (ne (toString .maxSurge) "0%") -}}
{{- fail "kubeletPlugin.updateStrategy.rollingUpdate.maxSurge: two plugins on one node would share its records and its CDI folder; use maxUnavailable" -}}
{{- end -}}
{{- end -}}
{{- if .Values.kubeletPlugin.metrics.gpuHttpEndpoint -}}
{{- fail "kubeletPlugin.metrics.gpuHttpEndpoint: this version has no plugin for GPUs" -}}
{{- end -}}
{{- if .Values.kubeletPlugin.containers.gpus -}}
{{- fail "kubeletPlugin.containers.gpus: this version has no plugin for GPUs" -}}
{{- end -}}
{{- end }}

{{- define "nvdra.checks.statecharts" -}}
{{- if hasKey .Values.statecharts "imex-daemon" -}}
{{- fail "statecharts.imex-daemon: the pods of IMEX daemons are made by the controller, which gives them no statecharts of yours yet" -}}
{{- end -}}
{{- end }}

{{- /* Values of the Go driver's chart that mean nothing here: nothing is accepted and ignored. */}}
{{- define "nvdra.checks.goDriver" -}}
{{- $imex := .Values.resources.computeDomains.imex | default dict -}}
{{- if and $imex.mode (ne $imex.mode "driverManaged") -}}
{{- fail (printf "resources.computeDomains.imex.mode=%s: this version runs the IMEX daemons itself (driverManaged)" $imex.mode) -}}
{{- end -}}
{{- if and $imex.isolation (ne $imex.isolation "domain") -}}
{{- fail (printf "resources.computeDomains.imex.isolation=%s: only domain is implemented" $imex.isolation) -}}
{{- end -}}
{{- if $imex.hostSocketPath -}}
{{- fail "resources.computeDomains.imex.hostSocketPath: belongs to hostManaged IMEX, which is not implemented" -}}
{{- end -}}
{{- if (.Values.webhook | default dict).enabled -}}
{{- fail "webhook.enabled=true: there is no webhook; the CRDs' schemas check what it would, and the plugin checks device configs" -}}
{{- end -}}
{{- $reasons := dict
      "featureGates" "there are no feature gates; what is here is on"
      "consumableShares" "belongs to GPUs"
      "gpuResourcesEnabledOverride" "belongs to GPUs"
      "maskNvidiaDriverParams" "is a test hook of the Go driver"
      "nvidiaCDIHookPath" "no CDI hook is used"
      "selectorLabelsOverride" "selectors of controller and plugin would be equal" -}}
{{- range $name, $why := $reasons -}}
{{- if get $.Values $name -}}
{{- fail (printf "%s: %s" $name $why) -}}
{{- end -}}
{{- end -}}
{{- end }}
