"""kinds.py - the shapes of the few Kubernetes kinds that are used here, as its API reference has them, and of a compose file; no network is asked.

A shape: a type; a set of allowed values; [shape] for a list; {key: shape} for a mapping, where "key!" must be there and "*" takes any key.
"""
NAMES = {"*": str}
META = {"name!": str, "labels": NAMES, "annotations": NAMES}
LABELS = {"matchLabels!": NAMES}
HTTP_PROBE = {"httpGet!": {"path!": str, "port!": (int, str), "scheme": str}, "initialDelaySeconds": int, "periodSeconds": int, "timeoutSeconds": int,
              "successThreshold": int, "failureThreshold": int}
CONTAINER = {
    "name!": str, "image!": str, "restartPolicy": {"Always"}, "command": [str], "args": [str], "env": [{"name!": str, "value": str}],
    "ports": [{"name": str, "containerPort!": int, "protocol": {"TCP", "UDP"}}],
    "startupProbe": HTTP_PROBE, "livenessProbe": HTTP_PROBE, "readinessProbe": HTTP_PROBE,
    "lifecycle": {"preStop": {"sleep": {"seconds!": int}, "exec": {"command!": [str]}}},
    "resources": {"requests": {"cpu": str, "memory": str}, "limits": {"cpu": str, "memory": str}},
    "securityContext": {"runAsUser": int, "runAsGroup": int, "runAsNonRoot": bool, "allowPrivilegeEscalation": bool, "readOnlyRootFilesystem": bool,
                        "capabilities": {"drop": [str], "add": [str]}},
    "volumeMounts": [{"name!": str, "mountPath!": str, "readOnly": bool}],
}
POD = {
    "automountServiceAccountToken": bool, "terminationGracePeriodSeconds": int,
    "securityContext": {"runAsNonRoot": bool, "seccompProfile": {"type!": {"RuntimeDefault", "Localhost", "Unconfined"}}},
    "initContainers": [CONTAINER], "containers!": [CONTAINER], "volumes": [{"name!": str, "configMap": {"name!": str}}],
}
SHAPES = {
    "ConfigMap": {"apiVersion!": {"v1"}, "kind!": {"ConfigMap"}, "metadata!": META, "data": NAMES},
    "Service": {"apiVersion!": {"v1"}, "kind!": {"Service"}, "metadata!": META, "spec!": {
        "selector!": NAMES, "ports!": [{"name": str, "port!": int, "targetPort": (int, str), "protocol": {"TCP", "UDP"}}]}},
    "Deployment": {"apiVersion!": {"apps/v1"}, "kind!": {"Deployment"}, "metadata!": META, "spec!": {
        "replicas": int, "selector!": LABELS, "strategy": {"rollingUpdate": {"maxUnavailable": (int, str), "maxSurge": (int, str)}},
        "template!": {"metadata!": {"labels!": NAMES, "annotations": NAMES}, "spec!": POD}}},
    "NetworkPolicy": {"apiVersion!": {"networking.k8s.io/v1"}, "kind!": {"NetworkPolicy"}, "metadata!": META, "spec!": {
        "podSelector!": LABELS, "policyTypes": [{"Ingress", "Egress"}],
        "ingress": [{"from": [{"namespaceSelector": LABELS, "podSelector": LABELS}], "ports": [{"port": (int, str), "protocol": {"TCP", "UDP"}}]}]}},
    "PodDisruptionBudget": {"apiVersion!": {"policy/v1"}, "kind!": {"PodDisruptionBudget"}, "metadata!": META, "spec!": {
        "maxUnavailable": (int, str), "selector!": LABELS}},
    "Kustomization": {"apiVersion!": {"kustomize.config.k8s.io/v1beta1"}, "kind!": {"Kustomization"}, "resources!": [str]},
}

COMPOSE = {"name": str, "services!": {"*": {
    "image": str, "build": {"context!": str, "dockerfile": str}, "command": [str], "environment": NAMES, "expose": [str], "ports": [str], "volumes": [str],
    "read_only": bool, "cap_drop": [str], "security_opt": [str], "depends_on": [str], "stop_grace_period": str,
    "restart": {"no", "always", "on-failure", "unless-stopped"}}}}


def wrong(value, shape, where):
    """What does not fit, as a list of sentences."""
    if isinstance(shape, set):
        return [] if value in shape else [f"{where}: {value!r} is none of {sorted(shape)}"]
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{where} is no list"]
        return [w for i, v in enumerate(value) for w in wrong(v, shape[0], f"{where}[{i}]")]
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return [f"{where} is no mapping"]
        known = {k.rstrip("!"): s for k, s in shape.items()}
        found = [f"{where}.{k[:-1]} is missing" for k in shape if k.endswith("!") and k[:-1] not in value]
        for k, v in value.items():
            found += wrong(v, known[k], f"{where}.{k}") if k in known else wrong(v, known["*"], f"{where}.{k}") if "*" in known else [f"{where}.{k} is unknown"]
        return found
    fits = isinstance(value, shape) and not (isinstance(value, bool) and shape is not bool)
    return [] if fits else [f"{where}: {value!r} has the wrong type"]
