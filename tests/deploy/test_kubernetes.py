"""test_kubernetes.py - the manifests hold together: what is said in one place is true in the others, and in the configuration they carry."""
import re

import yaml

from tools import ROOT
from proxy import run
import kinds

FOLDER = ROOT / "docker" / "k8s"
THINGS = {}
for path in sorted(FOLDER.glob("*.yaml")):
    for thing in yaml.safe_load_all(path.read_text()):
        THINGS[thing["kind"]] = thing
POD = THINGS["Deployment"]["spec"]["template"]
SPEC = POD["spec"]
SIDECAR = SPEC["initContainers"][0]
APP = SPEC["containers"][0]


def test_fields_are_kubernetes_own():
    """Against the shapes in kinds.py: an unknown field, a wrong type or a missing one is found."""
    for kind, thing in THINGS.items():
        assert kinds.wrong(thing, kinds.SHAPES[kind], kind) == []


def test_wrong_fields_would_be_found():
    for broken in ({**THINGS["Service"], "spec": {"selctor": {}}}, {**THINGS["Service"], "spec": {**THINGS["Service"]["spec"], "ports": [{"port": "80"}]}},
                   {"apiVersion": "v1", "kind": "Service"}):
        assert kinds.wrong(broken, kinds.SHAPES["Service"], "Service")


def test_all_are_in_the_kustomization():
    assert sorted(THINGS["Kustomization"]["resources"]) == sorted(p.name for p in FOLDER.glob("*.yaml") if p.name != "kustomization.yaml")


def test_it_is_a_native_sidecar():
    assert SIDECAR["name"] == "outrigger" and SIDECAR["restartPolicy"] == "Always"
    assert "lifecycle" not in SIDECAR                             # TERM drains


def test_probes_ask_the_admin_port():
    ports = {p["name"]: p["containerPort"] for p in SIDECAR["ports"]}
    paths = {kind: SIDECAR[kind]["httpGet"]["path"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"startupProbe": "/startupz", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    assert all(SIDECAR[k]["httpGet"]["port"] == "admin" for k in paths)
    conf = configuration()
    assert conf["admin"]["listen"] == f"0.0.0.0:{ports['admin']}" and conf["listen"] == f"0.0.0.0:{ports['http']}"


def configuration():
    return yaml.safe_load(THINGS["ConfigMap"]["data"]["outrigger.yaml"])


def test_the_configuration_is_good():
    done = run("check", "-c", "-", stdin=THINGS["ConfigMap"]["data"]["outrigger.yaml"])
    assert done.returncode == 0 and done.stderr == "", done.stderr


def test_the_configuration_is_mounted_as_a_folder():
    volumes = {v["name"]: v for v in SPEC["volumes"]}
    mount, = SIDECAR["volumeMounts"]
    assert "subPath" not in str(THINGS) and mount["readOnly"]
    assert volumes[mount["name"]]["configMap"]["name"] == THINGS["ConfigMap"]["metadata"]["name"]
    words = SIDECAR["args"]
    assert "--watch" in words and words[words.index("-c") + 1] == f"{mount['mountPath']}/outrigger.yaml"


def test_nobody_is_root():
    for c in (SIDECAR, APP):
        s = c["securityContext"]
        assert s["runAsUser"] > 0 and s["allowPrivilegeEscalation"] is False and s["capabilities"]["drop"] == ["ALL"]
    assert SIDECAR["securityContext"]["readOnlyRootFilesystem"] and SIDECAR["securityContext"]["runAsUser"] == 65532
    assert SPEC["securityContext"]["runAsNonRoot"] and SPEC["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert SPEC["automountServiceAccountToken"] is False


def seconds(text):
    return sum(int(n) * {"s": 1, "m": 60}[u] for n, u in re.findall(r"(\d+)([sm])", text))


def test_there_is_time_to_end():
    """What the app waits, and what outrigger may take to drain, fit into the grace period."""
    shutdown = configuration()["shutdown"]
    assert SPEC["terminationGracePeriodSeconds"] > APP["lifecycle"]["preStop"]["sleep"]["seconds"] + seconds(shutdown["delay"]) + seconds(shutdown["timeout"])


def test_selectors_select():
    labels = POD["metadata"]["labels"].items()
    for chosen in (THINGS["Deployment"]["spec"]["selector"]["matchLabels"], THINGS["Service"]["spec"]["selector"],
                   THINGS["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"], THINGS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]):
        assert chosen.items() <= labels and chosen
    assert THINGS["Service"]["spec"]["ports"][0]["targetPort"] in {p["name"] for p in SIDECAR["ports"]}
    assert POD["metadata"]["annotations"]["prometheus.io/port"] == "9901"


def test_the_app_is_where_outrigger_looks():
    env = {e["name"]: e["value"] for e in APP["env"]}
    assert configuration()["upstreams"]["app"]["endpoints"] == f"http://{env['HOST']}:{env['PORT']}"
