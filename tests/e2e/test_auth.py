"""test_auth.py - bearer tokens, checked in the real binary against real keys; who gets in, who does not, and where the keys come from."""
import json
import pathlib
import signal
import threading
import time

import pytest

from client import request, until
from proxy import run, sanitized
from test_admin import metrics
from test_reload import reload, rewrite
from tokens import Key, b64, bearer, key_set, with_secret
from upstream import head, reply

RSA, OTHER, EC = Key("RS256", "rsa"), Key("RS256", "other"), Key("ES256", "ec")
NOW = time.time


@pytest.fixture(scope="module")
def at(shared_rig):
    """One outrigger, many routes, keys in a file."""
    (shared_rig.tmp / "keys.json").write_text(key_set(RSA, EC))
    up = shared_rig.upstream()
    jwks = f"file:{shared_rig.tmp}/keys.json"

    def route(path, **more):
        return {"path": path, "upstream": "app", "auth": {"jwt": {"jwks": jwks, "audience": "app", **more}}}
    proxy = shared_rig.outrigger(upstreams={"app": {"endpoints": [up.url]}}, routes=[
        route("/issuer", issuer=["https://id.example", "https://old.example"]),
        route("/audiences", audience=["x", "y"]),
        route("/any", audience="*"),
        route("/scope", claims={"scope": "orders.read orders.write"}),
        route("/role", claims={"realm.roles": "admin", "verified": "true"}),
        route("/optional", required=False, forward={"sub": "x-user"}),
        route("/forward", forward={"sub": "x-user", "realm.roles": "x-roles", "num": "X-Number"}),
        route("/strict", leeway="0s"),
        route("/es", algorithms="ES256"),
        route("/browser", preflight=True),
        route("/hs", algorithms=["HS256", "RS256"]),
        {**route("/dry"), "auth": {**route("/")["auth"], "dry_run": True}},
        route("/")])
    proxy.up = up
    return proxy


def verdict(proxy, token, path="/", *fields):
    r = proxy.ask("GET", path, *([bearer(token)] if token else []), *fields)
    return r.status


# ── who gets in ──

@pytest.mark.parametrize("key", [RSA, EC])
def test_a_good_token(at, key):
    assert verdict(at, key.token()) == 200
    assert verdict(at, key.token()) == 200
    assert at.up.last.fields.get("authorization").startswith("Bearer ")
    assert at.ask("GET", "/", f"authorization:   bEaReR   {key.token()} ").status == 200


def test_without_a_token(at):
    r = at.ask()
    assert r.status == 401 and r.json()["reason"] == "unauthorized"
    assert r.fields.get("www-authenticate") == 'Bearer realm="outrigger"'                # RFC 6750 §3: no error when nothing was tried
    assert verdict(at, None, "/", "Authorization: Basic YTpi") == 401


@pytest.mark.parametrize("claims, words", [
    ({"exp": NOW() - 61}, "expired"), ({"exp": 0}, "expired"), ({"nbf": NOW() + 3600}, "not valid yet"), ({"iat": NOW() + 3600}, "not valid yet"),
    ({"aud": "other"}, "another audience"), ({"aud": None}, "another audience"), ({"aud": ["x", "other"]}, "another audience"), ({"aud": []}, "another audience"),
    ({"aud": 7}, "another audience"), ({"aud": "APP"}, "another audience"), ({"exp": None}, "malformed"), ({"exp": "soon"}, "malformed"),
    ({"exp": -1}, "malformed"), ({"exp": 1e300}, "malformed"), ({"nbf": True}, "malformed"), ({"iat": []}, "malformed")])
def test_claims_that_do_not_hold(at, claims, words):
    r = at.ask("GET", "/", bearer(RSA.token(**claims)))
    assert r.status == 401 and words in r.json()["detail"]
    challenge = r.fields.get("www-authenticate")
    assert challenge.startswith('Bearer realm="outrigger", error="invalid_token", error_description="') and words in challenge


@pytest.mark.parametrize("claims", [{"exp": NOW() - 30}, {"nbf": NOW() + 30}, {"iat": NOW() + 30}, {"exp": NOW() + 3600.5}, {"aud": ["x", "app"]},
                                    {"nbf": 0, "iat": 0}])
def test_claims_that_hold(at, claims):
    """The last minute of a token, and the first, are forgiven."""
    claims = {k: NOW() + 30 if k in ("nbf", "iat") and v else NOW() - 30 if k == "exp" and v < NOW() + 600 else v for k, v in claims.items()}
    assert verdict(at, RSA.token(**claims)) == 200


def test_a_known_token_expires_too(at):
    token = RSA.token(exp=NOW() + 2)
    assert verdict(at, token, "/strict") == 200
    assert verdict(at, token, "/strict") == 200
    until(lambda: verdict(at, token, "/strict") == 401, 4)
    assert verdict(at, token, "/") == 200                                                # within that route's leeway


def test_issuers_and_audiences(at):
    assert verdict(at, RSA.token(iss="https://id.example"), "/issuer") == 200
    assert verdict(at, RSA.token(iss="https://old.example"), "/issuer") == 200
    assert verdict(at, RSA.token(iss="https://id.example/"), "/issuer") == 401
    assert verdict(at, RSA.token(), "/issuer") == 401
    assert verdict(at, RSA.token(iss=["https://id.example"]), "/issuer") == 401
    assert verdict(at, RSA.token(aud="y"), "/audiences") == 200
    assert verdict(at, RSA.token(), "/audiences") == 401
    assert verdict(at, RSA.token(aud=None), "/any") == 200


def test_what_a_token_must_say_else_403(at):
    assert verdict(at, RSA.token(scope="a orders.write orders.read"), "/scope") == 200
    r = at.ask("GET", "/scope", bearer(RSA.token(scope="orders.read")))
    assert r.status == 403 and r.json()["reason"] == "forbidden"
    assert 'error="insufficient_scope"' in r.fields.get("www-authenticate") and 'scope="orders.read orders.write"' in r.fields.get("www-authenticate")
    assert verdict(at, RSA.token(scope="orders.readorders.write"), "/scope") == 403
    assert verdict(at, RSA.token(scope=["orders.read", "orders.write"]), "/scope") == 200
    assert verdict(at, RSA.token(), "/scope") == 403
    assert verdict(at, None, "/scope") == 401
    assert verdict(at, RSA.token(realm={"roles": ["user", "admin"]}, verified=True), "/role") == 200
    assert verdict(at, RSA.token(realm={"roles": ["user"]}, verified=True), "/role") == 403
    assert verdict(at, RSA.token(realm={"roles": ["admin"]}, verified=False), "/role") == 403
    assert verdict(at, RSA.token(**{"realm.roles": "admin"}, verified="true"), "/role") == 200


# ── forged ──

def test_another_ones_signature(at):
    assert verdict(at, OTHER.token()) == 401
    assert verdict(at, OTHER.token(header={"kid": "rsa"})) == 401
    one, two = RSA.token(sub="ann").split("."), RSA.token(sub="eve").split(".")
    assert verdict(at, ".".join([one[0], two[1], one[2]])) == 401
    assert verdict(at, ".".join(one)) == 200


def test_a_key_fits_one_algorithm(at):
    claims = {"sub": "ann", "aud": "app", "exp": int(NOW()) + 60}
    assert verdict(at, RSA.token(), "/es") == 401
    assert verdict(at, EC.token(), "/es") == 200
    assert verdict(at, RSA.token(alg="PS256")) == 200
    assert verdict(at, EC.sign({"alg": "ES384", "kid": "ec"}, claims)) == 401            # a curve that is not its
    assert verdict(at, EC.sign({"alg": "RS256", "kid": "ec"}, claims)) == 401
    assert verdict(at, EC.sign({"alg": "ES256", "kid": "rsa"}, claims)) == 401
    assert verdict(at, EC.sign({"alg": "ES256"}, claims)) == 200                         # without a kid: all that fit are tried


@pytest.mark.parametrize("path", ["/", "/hs"])
def test_a_public_key_is_no_secret(at, path):
    """Even on a route that allows HS256: its key set is not one of secrets."""
    claims = {"sub": "eve", "aud": "app", "exp": int(NOW()) + 60}
    for secret in (RSA.pem, RSA.pem.rstrip(), json.dumps(RSA.jwk()).encode(), b""):
        for kid in ({"kid": "rsa"}, {}):
            assert verdict(at, with_secret({"alg": "HS256", **kid}, claims, secret), path) == 401


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", "RS256 ", "rs256", "ES256K", "EdDSA", None, 7, ["RS256"]])
def test_no_other_algorithm(at, alg):
    claims = {"sub": "eve", "aud": "app", "exp": int(NOW()) + 60}
    unsigned = f"{b64({'alg': alg, 'kid': 'rsa'})}.{b64(claims)}."
    assert verdict(at, unsigned) == 401
    assert verdict(at, RSA.sign({"alg": alg, "kid": "rsa"}, claims)) == 401


@pytest.mark.parametrize("header, payload", [
    (b'{"alg":"none","alg":"RS256","kid":"rsa"}', None), (b'{"alg":"RS256","kid":"rsa","crit":["b64"],"b64":false}', None),
    (b'{"alg":"RS256","kid":"rsa","crit":[]}', None), (b'{"alg":"RS256","kid":7}', None), (b'["alg","RS256"]', None), (b'"RS256"', None),
    (b'{"alg":"RS256","kid":"rsa"} ', None), (b'{"alg":"RS256","kid":"rsa"}x', None), (b"", None), (b"\xff\xfe", None), (b"{" * 3000, None),
    (None, b"[]"), (None, b"{}"), (None, b""), (None, b"null"), (None, b'{"aud":"other","aud":"app","exp":9999999999}'),
    (None, b'{"aud":"app","exp":9999999999'), (None, b'{"aud":"app","exp":9999999999,"a":"\\u0000"}'), (None, b'{"aud":"app","exp":NaN}'),
    (None, b'{"aud":"app","exp":9999999999}\x00'), (None, b'{"aud":"app","exp":99999999999999999999999}'),
    (None, b'{"aud":"app","exp":9999999999,"a":' + b"[" * 2500 + b"]" * 2500 + b"}")])
def test_json_that_could_be_read_in_two_ways(at, header, payload):
    """Good signatures all of them: it is what they sign that is refused."""
    good = b'{"aud":"app","exp":9999999999}'
    status = verdict(at, RSA.sign(header if header is not None else {"alg": "RS256", "kid": "rsa"}, payload if payload is not None else good))
    assert status == (200 if header is not None and header.endswith(b"} ") else 401)


def test_garbage(at):
    good = RSA.token()
    h, p, s = good.split(".")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other_way = s[:-1] + last[last.index(s[-1]) ^ 1]                                      # the same bytes, in another spelling
    bad = ["x", ".", "..", "...", f"{h}.{p}", f"{h}.{p}.", f".{p}.{s}", f"{h}..{s}", f"{h}.{p}.{s}.{s}", f"{h}.{p}.{s}=", f"{h}=.{p}.{s}", f"{h}.{p}.{s}A",
           f"{h}.{p}.{s[:-4]}", f"{h}.{p}.{other_way}", f"{h}.{p}.{s[:-1]}+", f"{h}.{p}.{s} {s}", f"{h}.{p}.{s},{s}", f"\x80{good}", "A" * 5, f"{h}%2e{p}.{s}"]
    for token in bad:
        r = at.ask("GET", "/", bearer(token))
        assert r.status == 401 and "invalid_token" in r.fields.get("www-authenticate"), token
    assert verdict(at, None, "/", "Authorization: Bearer") == 401
    assert verdict(at, None, "/", "Authorization: Bearer ") == 401
    assert verdict(at, None, "/", f"Authorization: Bearer{good}") == 401
    assert verdict(at, good) == 200


def test_two_tokens_are_none(at):
    assert verdict(at, RSA.token(), "/", bearer(RSA.token(sub="eve"))) == 401
    assert verdict(at, RSA.token(), "/", "Authorization: Basic YTpi") == 401


def test_a_token_that_is_too_long(at):
    r = at.ask("GET", "/", bearer(RSA.token(a="x" * 9000)))
    assert r.status == 401 and "too long" in r.json()["detail"]
    assert verdict(at, RSA.token(a="x" * 4000)) == 200
    assert verdict(at, RSA.token(**{f"claim{i}": i for i in range(200)})) == 401            # more claims than anybody looks at


# ── what the upstream is told ──

def test_claims_go_to_the_upstream(at):
    at.ask("GET", "/forward", bearer(RSA.token(sub="ann", realm={"roles": ["a", "b"]}, num=7)))
    f = at.up.last.fields
    assert (f.get("x-user"), f.get("x-roles"), f.get("x-number")) == ("ann", "a,b", "7")


@pytest.mark.parametrize("path", ["/forward", "/optional"])
def test_nobody_else_says_who_somebody_is(at, path):
    lies = ["X-User: root", "x-user: admin", "X-USER: x"]
    at.ask("GET", path, bearer(RSA.token(sub="ann")), *lies)
    assert at.up.last.fields.all("x-user") == ["ann"]
    at.ask("GET", path, bearer(RSA.token(sub="ann")), *lies, "Connection: x-user, close")    # names it as one of the connection's
    assert at.up.last.fields.all("x-user") == ["ann"]
    at.ask("GET", path, bearer(RSA.token(sub=None)), *lies)
    assert at.up.last.fields.all("x-user") == []
    at.ask("GET", path, bearer(RSA.token(sub="a\r\nx-admin: yes")), *lies)
    assert at.up.last.fields.all("x-user") == [] and "x-admin" not in at.up.last.fields


def test_without_a_token_where_none_is_required(at):
    at.up.forget()
    assert verdict(at, None, "/optional", "x-user: root") == 200
    assert "x-user" not in at.up.last.fields
    assert verdict(at, OTHER.token(), "/optional") == 401 and len(at.up.requests) == 1


def test_a_browsers_preflight(at):
    """It never has a token. Only where that is wanted, and only what is one."""
    asks = ["Origin: https://shop.example", "Access-Control-Request-Method: POST"]
    assert at.ask("OPTIONS", "/browser", *asks).status == 200
    assert at.ask("OPTIONS", "/", *asks).status == 401
    assert at.ask("OPTIONS", "/browser", asks[0]).status == 401
    assert at.ask("OPTIONS", "/browser", asks[1]).status == 401
    assert at.ask("GET", "/browser", *asks).status == 401
    assert at.ask("OPTIONS", "/browser", *asks, bearer(OTHER.token())).status == 401


def test_dry_run_lets_everything_pass_and_says_so(at):
    before = metrics(at)['outrigger_dry_run_refusals_total{route="/dry",reason="unauthorized"}']
    r = at.ask("GET", "/dry")
    assert r.status == 200 and "www-authenticate" not in r.fields
    assert at.ask("GET", "/dry", bearer("x.y.z")).status == 200
    assert metrics(at)['outrigger_dry_run_refusals_total{route="/dry",reason="unauthorized"}'] == before + 2
    assert at.access_log(path="/dry", would_refuse="unauthorized")


def test_what_is_seen(at):
    name = 'outrigger_auth_decisions_total{route="/",result="%s"}'
    before, token = metrics(at), EC.token(sub="seen")
    for _ in range(20):
        assert verdict(at, token) == 200
    verdict(at, EC.token(exp=1))
    after = metrics(at)
    assert after[name % "allowed"] == before[name % "allowed"] + 20 and after[name % "expired"] == before[name % "expired"] + 1
    checked = 'outrigger_auth_signature_checks_total{route="/"}'
    assert 2 <= after[checked] - before[checked] <= 1 + max(2, int(at.conf.get("workers", 2)))       # once per worker, not once per request
    keys = [k for k in after if k.startswith("outrigger_auth_keys{")]
    assert len(keys) == 1 and after[keys[0]] == 2
    status = at.admin("GET", "/status.json").json()
    assert status["auth_keys"][0]["keys"] == 2 and status["auth_keys"][0]["error"] == ""
    assert "2 keys" in run("status", "--admin", f"127.0.0.1:{at.admin_port}").stdout


# ── where keys come from ──

class Issuer:
    """A server of key sets."""

    def __init__(self, rig, *keys):
        self.up, self.keys, self.fields, self.asked_with = rig.upstream(self.answer), keys, (), []

    def answer(self, call, q):
        call.body(q)
        self.asked_with.append(q.fields.get("if-none-match"))
        if self.keys is None:
            call.send(head(500, "Content-Length: 0"))
            return
        body = self.keys if isinstance(self.keys, bytes) else key_set(*self.keys).encode()
        tag = f'"{hash(body)}"'
        if q.fields.get("if-none-match") == tag:
            call.send(head(304, f"ETag: {tag}", *self.fields))
        else:
            call.send(head(200, f"Content-Length: {len(body)}", f"ETag: {tag}", *self.fields) + body)

    def auth(self, **more):
        return {"jwt": {"jwks": f"{self.up.url}/keys?a=b", "audience": "app", **more}}

    @property
    def asked(self):
        return len(self.asked_with)


def keys_of(proxy):
    return proxy.admin("GET", "/status.json").json()["auth_keys"][0]


def test_keys_are_there_when_it_begins_to_serve(rig):
    issuer = Issuer(rig, RSA)
    proxy = rig.before(rig.upstream(), route={"auth": issuer.auth()})
    until(lambda: proxy.probe("/readyz").status == 200)
    assert verdict(proxy, RSA.token()) == 200 and issuer.asked == 1
    assert issuer.up.requests[0].target == "/keys?a=b" and issuer.up.requests[0].fields.get("accept") == "application/jwk-set+json, application/json"


def test_no_keys_yet_is_our_fault_not_the_clients(rig):
    """The issuer is down at the start: 503, not 401; and it is asked again until it answers."""
    issuer = Issuer(rig, RSA)
    issuer.up.stop()
    proxy = rig.before(rig.upstream(), route={"auth": issuer.auth()})
    until(lambda: proxy.probe("/readyz").status == 200)
    r = proxy.ask("GET", "/", bearer(RSA.token()))
    assert r.status == 503 and r.json()["reason"] == "keys_unavailable" and int(r.fields.get("retry-after")) >= 1
    assert "www-authenticate" not in r.fields
    assert verdict(proxy, None) == 401 and verdict(proxy, "x.y.z") == 401                 # that much can be said without keys
    assert "auth_keys_failed" in proxy.err and proxy.err.count("auth_keys_failed") == 1
    assert keys_of(proxy)["keys"] == 0 and "connect" in keys_of(proxy)["error"]
    issuer.up.start()
    until(lambda: verdict(proxy, RSA.token()) == 200, 15)


@pytest.mark.parametrize("bad", [None, b"", b'{"keys":[{"kty":"RSA"}]}', b"x" * 300000], ids=["500", "empty", "half-a-key", "too-long"])
def test_a_bad_answer_keeps_the_keys_that_are_there(rig, bad):
    issuer = Issuer(rig, RSA)
    proxy = rig.before(rig.upstream(), route={"auth": issuer.auth(refresh="1s")})
    until(lambda: verdict(proxy, RSA.token()) == 200)
    issuer.keys = bad
    until(lambda: keys_of(proxy)["failed"] >= 1)
    assert verdict(proxy, RSA.token()) == 200 and keys_of(proxy)["keys"] == 1 and keys_of(proxy)["error"]
    issuer.keys = (EC,)
    until(lambda: keys_of(proxy)["error"] == "", 12)
    until(lambda: verdict(proxy, EC.token()) == 200)
    assert verdict(proxy, RSA.token()) == 401


def test_the_issuer_goes_away(rig):
    issuer = Issuer(rig, RSA)
    proxy = rig.before(rig.upstream(), route={"auth": issuer.auth(refresh="1s")})
    until(lambda: verdict(proxy, RSA.token()) == 200)
    issuer.up.stop()
    until(lambda: keys_of(proxy)["failed"] >= 2)
    assert verdict(proxy, RSA.token()) == 200


def test_keys_change_and_no_client_notices(rig):
    """The first token of a new key waits for the keys: it is not refused."""
    issuer = Issuer(rig, RSA)
    proxy = rig.before(rig.upstream(), route={"auth": issuer.auth()})
    until(lambda: verdict(proxy, RSA.token()) == 200)
    issuer.keys = (RSA, OTHER)
    got = []
    threads = [threading.Thread(target=lambda i=i: got.append(verdict(proxy, OTHER.token(n=i)))) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert got == [200] * 8 and issuer.asked == 2
    assert verdict(proxy, RSA.token()) == 200


def test_a_key_that_is_taken_back(rig):
    """... lets nobody in any more, not even tokens that are known."""
    issuer = Issuer(rig, RSA, OTHER)
    proxy = rig.before(rig.upstream(), route={"auth": issuer.auth(refresh="1s")})
    token = OTHER.token()
    until(lambda: verdict(proxy, token) == 200)
    issuer.keys = (RSA,)
    until(lambda: verdict(proxy, token) == 401)
    assert verdict(proxy, RSA.token()) == 200


def test_unknown_keys_are_no_way_to_make_us_ask(rig):
    """At most one early fetch in ten seconds, and whoever comes meanwhile is answered at once. (The ten seconds: tests/edge/test_keyring.c.)"""
    issuer = Issuer(rig, RSA)
    proxy = rig.before(rig.upstream(), route={"auth": issuer.auth()})
    until(lambda: verdict(proxy, RSA.token()) == 200)
    begun = time.monotonic()
    while time.monotonic() < begun + 1:
        assert verdict(proxy, OTHER.token(header={"kid": f"k{time.monotonic()}"})) == 401
    assert issuer.asked == 2


def test_max_age_is_honoured(rig):
    issuer = Issuer(rig, RSA)
    issuer.fields = ("Cache-Control: public, max-age=1",)
    proxy = rig.before(rig.upstream(), route={"auth": issuer.auth(refresh="24h")})
    until(lambda: issuer.asked >= 3, 8)
    assert issuer.asked_with[0] is None and issuer.asked_with[1] is not None and keys_of(proxy)["unchanged"] >= 1
    assert keys_of(proxy)["fetched"] == 1


def test_keys_in_a_file(rig):
    file = rig.tmp / "keys.json"
    proxy = rig.before(rig.upstream(), route={"auth": {"jwt": {"jwks": f"file:{file}", "audience": "app"}}})
    assert proxy.ask("GET", "/", bearer(RSA.token())).status == 503
    file.write_text(key_set(RSA))
    until(lambda: verdict(proxy, RSA.token()) == 200)
    (rig.tmp / "new").write_text(key_set(EC))
    (rig.tmp / "new").rename(file)
    assert verdict(proxy, EC.token()) == 200                                               # its kid is unknown: read at once
    assert verdict(proxy, RSA.token()) == 401
    file.write_text("{")
    until(lambda: keys_of(proxy)["error"])
    assert verdict(proxy, EC.token()) == 200
    file.unlink()
    until(lambda: "No such file" in keys_of(proxy)["error"])
    assert verdict(proxy, EC.token()) == 200


def test_weak_and_foreign_keys_are_left_out(rig):
    weak, secret = Key("RS256", "weak", bits=1024), Key("HS256", "secret")
    file = rig.tmp / "keys.json"
    file.write_text(key_set(weak, RSA.jwk(kid="enc", use="enc"), RSA.jwk(kid="ops", key_ops=["encrypt"]), EC.jwk(kid="bound", alg="ES512"), secret, RSA,
                            {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "ed"}, {"kty": "new"}, 7))
    proxy = rig.before(rig.upstream(), route={"auth": {"jwt": {"jwks": f"file:{file}", "audience": "app", "algorithms": ["RS256", "ES256", "HS256"]}}})
    assert verdict(proxy, RSA.token()) == 200
    for token in (weak.token(), RSA.token(header={"kid": "enc"}), RSA.token(header={"kid": "ops"}), EC.token(header={"kid": "bound"}), secret.token()):
        assert verdict(proxy, token) == 401


def test_secrets_when_there_are_nothing_but_secrets(rig):
    secret, short = Key("HS256", "secret"), Key("HS256", "short", secret=b"short")
    file = rig.tmp / "keys.json"
    file.write_text(key_set(secret, short))
    jwks = {"jwks": f"file:{file}", "audience": "app"}
    proxy = rig.outrigger(upstreams={"app": {"endpoints": [rig.upstream().url]}},
                          routes=[{"path": "/hs", "upstream": "app", "auth": {"jwt": {**jwks, "algorithms": "HS256"}}},
                                  {"path": "/", "upstream": "app", "auth": {"jwt": jwks}}])
    assert verdict(proxy, secret.token(), "/hs") == 200
    assert verdict(proxy, secret.token(), "/") == 401                                      # not unless it is named
    assert verdict(proxy, short.token(), "/hs") == 401
    assert verdict(proxy, secret.token()[:-4] + "AAAA", "/hs") == 401


def test_reload_keeps_keys_and_takes_new_ones(rig):
    one, two = Issuer(rig, RSA), Issuer(rig, EC)
    proxy = rig.before(rig.upstream(), route={"auth": one.auth()})
    until(lambda: verdict(proxy, RSA.token()) == 200)
    rewrite(proxy, lambda c: c["routes"][0].update(timeout="3s"))
    reload(proxy)
    assert verdict(proxy, RSA.token()) == 200 and one.asked == 1
    rewrite(proxy, lambda c: c["routes"][0].update(auth=two.auth()))
    reload(proxy)
    until(lambda: verdict(proxy, EC.token()) == 200)
    assert verdict(proxy, RSA.token()) == 401
    until(lambda: len(proxy.admin("GET", "/status.json").json()["auth_keys"]) == 1)
    rewrite(proxy, lambda c: c["routes"][0].update(auth="off"))
    reload(proxy)
    assert verdict(proxy, None) == 200


def test_leaving_while_keys_are_fetched(rig):
    """The issuer takes its time; a client that waits leaves, and so does outrigger."""
    issuer = Issuer(rig, RSA)
    proxy = rig.before(rig.upstream(), route={"auth": issuer.auth()})
    until(lambda: verdict(proxy, RSA.token()) == 200)
    answer, waits = issuer.answer, threading.Event()

    def slow(call, q):
        waits.set()
        time.sleep(1)
        answer(call, q)
    issuer.up.default = slow
    c = proxy.client()
    c.send(request("GET", "/", bearer(OTHER.token())))
    assert waits.wait(5)
    c.close()
    assert proxy.access_log(status=499)
    with proxy.client() as d:
        d.send(request("GET", "/", bearer(OTHER.token())))
        time.sleep(.2)
        proxy.signal(signal.SIGQUIT)
        assert proxy.wait() == 0


# ── with a rate limit ──

def test_an_allowance_per_subject(rig):
    (rig.tmp / "keys.json").write_text(key_set(RSA))
    auth = {"jwt": {"jwks": f"file:{rig.tmp}/keys.json", "audience": "app", "required": False}}
    proxy = rig.before(rig.upstream(), route={"auth": auth, "rate_limit": {"rate": "3/h", "key": ["jwt:sub"]}})
    for who in ("ann", "bob"):
        tokens = [RSA.token(sub=who, n=i) for i in range(5)]
        assert [verdict(proxy, t) for t in tokens] == [200] * 3 + [429] * 2
    assert [verdict(proxy, None) for _ in range(4)] == [200] * 3 + [429]                   # those without share one


@pytest.mark.parametrize("text, words, line", [
    ("rate_limit: {rate: 1/s, key: 'jwt:sub'}", "'jwt:' needs 'auth.jwt'", 5),
    ("auth: off\n    rate_limit: {rate: 1/s, key: 'jwt:sub'}", "'jwt:' needs 'auth.jwt'", 6),
    ("auth: {jwt: {audience: a}}", "needs 'jwt.jwks'", 5), ("auth: {jwt: {jwks: 'file:/k'}}", "needs 'audience'", 5),
    ("auth: {jwt: {jwks: 'file:k', audience: a}}", "no place for keys", 5), ("auth: {jwt: {jwks: 'ftp://h/k', audience: a}}", "no place for keys", 5),
    ("auth: {jwt: {jwks: 'https://u:p@h/k', audience: a}}", "no place for keys", 5),
    ("auth: {jwt: {jwks: 'file:/k', audience: a, algorithms: none}}", "'none' is not an algorithm", 5),
    ("auth: {jwt: {jwks: 'file:/k', audience: a, algorithms: []}}", "is not an algorithm", 5),
    ("auth: {jwt: {jwks: 'file:/k', audience: a, forward: {sub: host}}}", "cannot carry a claim", 5),
    ("auth: {jwt: {jwks: 'file:/k', audience: a, forward: {sub: authorization}}}", "cannot carry a claim", 5),
    ("auth: {jwt: {jwks: 'file:/k', audience: a, claims: {scope: ''}}}", "must it say", 5),
    ("auth: {jwks: 'file:/k'}", "unknown key 'jwks'", 5)])
def test_settings_that_are_refused(tmp_path, text, words, line):
    file = tmp_path / "o.yaml"
    file.write_text("listen: 127.0.0.1:1\nroutes:\n  - path: /\n    upstream: http://127.0.0.1:2\n    %s\n" % text)
    r = run("check", "-c", str(file))
    assert r.returncode == 78 and words in r.stderr and f"{file.name}:{line}:" in r.stderr, r.stderr


@pytest.mark.parametrize("key", ["split: {key: 'jwt:sub'}", "hash_key"])
def test_keys_of_claims_elsewhere(tmp_path, key):
    """A split's key and ring_hash's need auth too; with it they are taken."""
    def check(auth):
        file = tmp_path / "o.yaml"
        file.write_text("listen: 127.0.0.1:1\nupstreams:\n  a: {endpoints: http://127.0.0.1:2, balance: ring_hash, hash_key: %s}\n  b: {endpoints: http://127.0.0.1:3}\n"
                        "routes:\n  - path: /\n    upstream: {a: 50%%, b: 50%%}\n    auth: %s\n%s"
                        % ("client_ip" if "split" in key else "'jwt:sub'", auth, f"    {key}\n" if "split" in key else ""))
        return run("check", "-c", str(file))
    assert check("{jwt: {jwks: 'file:/k', audience: a}}").returncode == 0
    r = check("off")
    assert r.returncode == 78 and "'jwt:' needs 'auth.jwt'" in r.stderr, r.stderr


@pytest.mark.skipif(sanitized(), reason="bounds on time")
def test_a_known_token_costs_little(rig):
    """CPU of the process: a route that checks tokens against one that does not."""
    (rig.tmp / "keys.json").write_text(key_set(RSA))
    up = rig.upstream()
    proxy = rig.outrigger(upstreams={"app": {"endpoints": [up.url]}}, workers=1, routes=[
        {"path": "/open", "upstream": "app"},
        {"path": "/", "upstream": "app", "auth": {"jwt": {"jwks": f"file:{rig.tmp}/keys.json", "audience": "app"}}}])
    token = RSA.token()

    def cost(path, fields):
        total = sum_threads(proxy)
        with proxy.client() as c:
            for _ in range(1500):
                assert c.ask("GET", path, *fields).status == 200
        return (sum_threads(proxy) - total) / 1500
    cost("/", [bearer(token)])
    costs = {"/open": [], "/": []}
    for _ in range(3):
        for path in costs:
            costs[path].append(cost(path, [bearer(token)]))
    assert min(costs["/"]) < min(costs["/open"]) + 15000, costs           # ns; one RS256 check alone is more than 20 us


def sum_threads(proxy):
    return sum(int(p.read_text().split()[0]) for p in pathlib.Path(f"/proc/{proxy.pid}/task").glob("*/schedstat"))
