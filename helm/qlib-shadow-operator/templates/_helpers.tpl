{{/*
Every object begins as the manifest of the same name in manifests/, copied to files/; a template puts the values in.
So chart and manifests cannot come to differ.
*/}}

{{/*
The name of all that belongs to a release; of one piece when one of release and chart contains the other: the
release qlib-shadow makes qlib-shadow-operator. Refused here if the API server would refuse it, halfway through.
*/}}
{{- define "qlib-shadow.fullname" -}}
{{- $own := .Values.fullnameOverride -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := printf "%s-%s" .Release.Name $name -}}
{{- $of := printf "release %s" .Release.Name -}}
{{- if $own -}}
{{- $full = $own -}}
{{- $of = "value fullnameOverride" -}}
{{- else if contains $name .Release.Name -}}
{{- $full = .Release.Name -}}
{{- else if hasPrefix (printf "%s-" .Release.Name) $name -}}
{{- $full = $name -}}
{{- end -}}
{{- if not $own -}}
{{- $full = $full | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- if or (gt (len $full) 50) (not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $full)) -}}
{{- fail (printf "the %s makes the name %s, which Kubernetes refuses for some object; write a fullnameOverride of at most 50 lower-case letters, digits and \"-\", with a letter first and no \"-\" last" $of $full) -}}
{{- end -}}
{{- $full -}}
{{- end -}}

{{- define "qlib-shadow.serviceAccountName" -}}
{{- default (include "qlib-shadow.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{/* What never changes in a release, so that a Deployment can select by it. */}}
{{- define "qlib-shadow.selector" -}}
app.kubernetes.io/name: qlib-shadow
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* (dict "root" $ "component" "operator") */}}
{{- define "qlib-shadow.labels" -}}
{{ include "qlib-shadow.selector" .root }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Metadata of every object, as YAML: (dict "root" $ "name" … "namespace" … "component" … "labels" (dict …) "annotations" (dict …)) */}}
{{- define "qlib-shadow.metadata" -}}
name: {{ .name }}
{{- with .namespace }}
namespace: {{ . }}
{{- end }}
labels:
  {{- include "qlib-shadow.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge dict (default dict .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* (dict "image" .Values.operator.image "root" $) */}}
{{- define "qlib-shadow.image" -}}
{{- $name := .image.repository -}}
{{- with default .image.registry (dig "global" "imageRegistry" "" .root.Values.AsMap) -}}{{- $name = printf "%s/%s" . $name -}}{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Where runs are, as a JSON list; a release always has at least its own namespace, except cluster-wide. */}}
{{- define "qlib-shadow.namespaces" -}}
{{- default (list .Release.Namespace) .Values.namespaces | uniq | toJson -}}
{{- end -}}

{{/* The namespace where a schedule makes its runs, which must be a watched one: (dict "root" $ "schedule" (dict …)) */}}
{{- define "qlib-shadow.scheduleNamespace" -}}
{{- $watched := include "qlib-shadow.namespaces" .root | fromJsonArray -}}
{{- $namespace := default (first $watched) .schedule.namespace -}}
{{- if not (or .root.Values.clusterWide (has $namespace $watched)) -}}
{{- fail (printf "the schedule %s would make its runs in %s, but only %s is watched; write namespaces: [%s, %s], or another namespace in the schedule" .schedule.name $namespace (join ", " $watched) (join ", " $watched) $namespace) -}}
{{- end -}}
{{- $namespace -}}
{{- end -}}

{{/* Puts a pod that belongs to the operator where that may be: (dict "root" $ "pod" (dict …)); prints nothing. */}}
{{- define "qlib-shadow.place" -}}
{{- $operator := .root.Values.operator -}}
{{- $pod := .pod -}}
{{- range $field := list "priorityClassName" "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" -}}
{{- with get $operator $field -}}
{{- $_ := set $pod $field . -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* References to Secrets, as a JSON list: (list "a" "b") */}}
{{- define "qlib-shadow.secrets" -}}
{{- $found := list -}}
{{- range . -}}{{- $found = append $found (dict "name" .) -}}{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* A value as it was written; the numbers of a file come as floats, which Helm itself would write as 4e+09. */}}
{{- define "qlib-shadow.text" -}}
{{- if kindIs "string" . -}}
{{- . -}}
{{- else if and (kindIs "float64" .) (eq . (floor .)) -}}
{{- printf "%.0f" . -}}
{{- else -}}
{{- toJson . -}}
{{- end -}}
{{- end -}}

{{/* The operator's settings, as a JSON list of variables; also those that are the operator's own defaults. */}}
{{- define "qlib-shadow.environment" -}}
{{- $runner := .Values.runner -}}
{{- $env := dict
  "RUNNER_IMAGE" (include "qlib-shadow.image" (dict "image" $runner.image "root" .))
  "RUNNER_IMAGE_PULL_POLICY" $runner.image.pullPolicy
  "CLAIM_NAME" .Values.storage.claimName
  "RUN_AS_USER" (int64 $runner.uid)
  "RUN_AS_GROUP" (int64 $runner.gid)
  "TIME_ZONE" $runner.timeZone
  "START_TIMEOUT_SECONDS" (int64 $runner.startTimeoutSeconds)
  "WORK_SIZE" $runner.workSize
  "SHARED_MEMORY_SIZE" $runner.sharedMemorySize
  "WORKERS" (int64 .Values.operator.workers)
  "RESYNC_SECONDS" (int64 .Values.operator.resyncSeconds)
  "LOG_LEVEL" .Values.operator.logLevel
  "LOG_FORMAT" .Values.operator.logFormat
-}}
{{- range $stage, $of := $runner.stages -}}
{{- $_ := set $env (printf "%s_RESOURCES" (upper $stage)) (toJson $of.resources) -}}
{{- $_ := set $env (printf "%s_DEADLINE_SECONDS" (upper $stage)) (int64 $of.deadlineSeconds) -}}
{{- $_ := set $env (printf "%s_RETRIES" (upper $stage)) (int64 $of.retries) -}}
{{- end -}}
{{- with $runner.image.pullSecrets -}}
{{- $_ := set $env "RUNNER_IMAGE_PULL_SECRETS" (join "," .) -}}
{{- end -}}
{{- if ne (toString $runner.featuresCacheBytes) "" -}}
{{- $_ := set $env "FEATURES_CACHE_BYTES" (int64 $runner.featuresCacheBytes) -}}
{{- end -}}
{{- with $runner.proxies -}}
{{- $_ := set $env "DOWNLOAD_PROXIES" (toJson .) -}}
{{- end -}}
{{- $pods := dict -}}
{{- range $name, $value := omit .Values.runs "jobTtlSeconds" -}}
{{- if $value -}}{{- $_ := set $pods $name $value -}}{{- end -}}
{{- end -}}
{{- with $pods -}}
{{- $_ := set $env "PODS" (toJson .) -}}
{{- end -}}
{{- $allowed := dict -}}
{{- range $name, $entries := .Values.allowed -}}
{{- if $entries -}}{{- $_ := set $allowed $name $entries -}}{{- end -}}
{{- end -}}
{{- with $allowed -}}
{{- $_ := set $env "ALLOWED" (toJson .) -}}
{{- end -}}
{{- if ne (toString .Values.runs.jobTtlSeconds) "" -}}
{{- $_ := set $env "JOB_TTL_SECONDS" (int64 .Values.runs.jobTtlSeconds) -}}
{{- end -}}
{{- if not .Values.clusterWide -}}
{{- $_ := set $env "NAMESPACES" (include "qlib-shadow.namespaces" . | fromJsonArray | join ",") -}}
{{- end -}}
{{- $own := default dict .Values.operator.env -}}
{{- $variables := list -}}
{{- range $name, $value := $env -}}
{{- $name = printf "QLIB_SHADOW_%s" $name -}}
{{- if not (hasKey $own $name) -}}
{{- /* The kubelet would expand $(NAME); $$ is its escape. What is in operator.env may be meant so. */ -}}
{{- $variables = append $variables (dict "name" $name "value" (include "qlib-shadow.text" $value | replace "$" "$$")) -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := $own -}}
{{- $variables = append $variables (dict "name" $name "value" (include "qlib-shadow.text" $value)) -}}
{{- end -}}
{{- toJson $variables -}}
{{- end -}}
