"""test_compose.py - compose.yaml: its files are where it says, and its parts fit together; the app and outrigger really run, on this machine."""
import re
import subprocess
import time

import pytest
import yaml

from client import Client
from ports import free_port
from proxy import BIN, environment, run
from tools import PROMTOOL, ROOT, tool
import kinds

FOLDER = ROOT / "docker"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]


def test_keys_are_those_of_compose_files():
    assert kinds.wrong(COMPOSE, kinds.COMPOSE, "compose.yaml") == []
    assert all(set(s.get("depends_on", [])) <= set(SERVICES) and ("image" in s) for s in SERVICES.values())


def mounts(service):
    return [(FOLDER / v.split(":")[0]).resolve() for v in SERVICES[service].get("volumes", [])], [v.split(":")[1] for v in SERVICES[service].get("volumes", [])]


def test_what_is_mounted_is_there():
    for name in SERVICES:
        here, there = mounts(name)
        assert all(p.exists() for p in here) and len(set(there)) == len(there)
        assert all(v.endswith(":ro") for v in SERVICES[name].get("volumes", []))


def test_it_is_built_from_the_dockerfile():
    build = SERVICES["outrigger"]["build"]
    assert (FOLDER / build["context"]).resolve() == ROOT and (ROOT / build["dockerfile"]).exists()


def test_nobody_outside_reaches_the_admin_port():
    published = [p for s in SERVICES.values() for p in s.get("ports", [])]
    assert all(p.startswith("127.0.0.1:") or p == "8080:8080" for p in published) and len({p.split(":")[-2] for p in published}) == len(published)


def test_there_is_time_to_drain():
    done = run("config", "--json", "-c", FOLDER / "outrigger" / "outrigger.yaml")
    assert done.returncode == 0, done.stderr
    assert int(SERVICES["outrigger"]["stop_grace_period"][:-1]) > 30 and '"timeout":"30s"' in done.stdout.replace(" ", "")


def test_prometheus_finds_outrigger(tmp_path):
    here, there = mounts("prometheus")
    for source, target in zip(here, there):
        (tmp_path / target.split("/")[-1]).write_text(source.read_text())
    tool(PROMTOOL, "check", "config", tmp_path / "prometheus.yml")
    scrape, = yaml.safe_load((tmp_path / "prometheus.yml").read_text())["scrape_configs"]
    host, port = scrape["static_configs"][0]["targets"][0].split(":")
    conf = yaml.safe_load((FOLDER / "outrigger" / "outrigger.yaml").read_text())
    assert host in SERVICES and conf["admin"]["listen"] == f"0.0.0.0:{port}"
    assert scrape["job_name"] == "outrigger"                      # OutriggerDown asks for it


def test_grafana_finds_prometheus_and_the_dashboard():
    here, there = mounts("grafana")
    source = yaml.safe_load((FOLDER / "grafana" / "datasources.yaml").read_text())["datasources"][0]
    assert re.fullmatch(r"http://(\w+):9090", source["url"])[1] in SERVICES
    provider = yaml.safe_load((FOLDER / "grafana" / "dashboards.yaml").read_text())["providers"][0]
    assert f"{provider['options']['path']}/outrigger.json" in there and ROOT / "conf" / "grafana" / "outrigger.json" in here


@pytest.fixture
def together(tmp_path):
    """Both services' own words, with the names and ports of this machine."""
    app, front, admin = free_port(), free_port(), free_port()
    words = [w.replace("0.0.0.0:9902", f"127.0.0.1:{app}") for w in SERVICES["app"]["command"]]
    conf = (FOLDER / "outrigger" / "outrigger.yaml").read_text()
    conf = conf.replace("http://app:9902", f"http://127.0.0.1:{app}").replace("0.0.0.0:8080", f"127.0.0.1:{front}").replace("0.0.0.0:9901", f"127.0.0.1:{admin}")
    conf = conf.replace("redis://redis:6379", f"redis://127.0.0.1:{free_port()}")        # nobody there: the limit holds all the same
    (tmp_path / "outrigger.yaml").write_text(conf)
    started = [subprocess.Popen([BIN, *words, "--set", f"listen=127.0.0.1:{free_port()}", "--set", f"admin.listen=127.0.0.1:{free_port()}"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()),
               subprocess.Popen([BIN, *(w.replace("/etc/outrigger", str(tmp_path)) for w in SERVICES["outrigger"]["command"])], stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL, env=environment())]
    yield front, admin
    for p in started:
        p.terminate()
    assert [p.wait(20) for p in started] == [0, 0]


def test_the_app_and_outrigger(together):
    front, admin = together

    def ask(port, path):
        with Client(("127.0.0.1", port)) as c:
            return c.ask("GET", path, host=f"127.0.0.1:{port}")
    end = time.monotonic() + 15
    while True:
        try:
            if ask(admin, "/readyz").status == 200 and ask(front, "/status/200").status == 200:
                break
        except OSError:
            pass
        assert time.monotonic() < end
        time.sleep(0.1)
    assert b"demo" in ask(front, "/").body
    assert 429 in [ask(front, "/limited/status/200").status for _ in range(12)]
    assert 503 in [ask(front, "/status/503").status for _ in range(12)]
    assert b"outrigger_ready 1" in ask(admin, "/metrics").body
