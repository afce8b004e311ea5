/* keys.c - the tables of everything that is not a policy's. What stands here is the truth about names, defaults and ranges. */
#include "keys.h"

static const char *const log_levels[] = { "error", "warn", "info", "debug", NULL };       /* as enum log_level */
static const char *const log_formats[] = { "auto", "text", "json", NULL };
static const char *const off_on[] = { "off", "on", NULL };
static const char *const access_formats[] = { "auto", "text", "json", "otel", "clf", NULL };       /* as enum conf_access_format */
static const char *const error_formats[] = { "auto", "json", "html", NULL };

static const struct conf_key listen_keys[] = {
	CONF_ROW(struct conf_listener, "address", address, CONF_T_TEXT, .read = read_listen, .flags = CONF_REQUIRED,
		.help = "where to accept connections: IP:port, [IPv6]:port, :port or unix:/path", .example = "0.0.0.0:8080"),
	CONF_NOT_YET("protocols", "http1, h2c, h2"),
	CONF_NOT_YET("proxy_protocol", "accept PROXY v1/v2 from trusted_proxies"),
	CONF_NOT_YET("tls", "certificates of this listener"),
	CONF_END
};

#define BODY(n, m, t, def, lo, hi, text) { .name = (n), .type = (t), .offset = offsetof(struct conf_client, body.m) \
	- offsetof(struct conf_client, body), .present_offset = CONF_NO_PRESENCE, .preset = (def), .min = (lo), .max = (hi), \
	.help = (text) }
static const struct conf_key body_keys[] = {
	BODY("idle_timeout", idle_timeout_us, CONF_T_DURATION, "10s", "1ms", "24h",
		"no byte of a request body for this long: 408"),
	BODY("min_rate", min_rate, CONF_T_BYTE_RATE, "500B/s", NULL, NULL,
		"a body slower than this, on average over 5 s: 408; 0B/s: off"),
	BODY("grace", grace_us, CONF_T_DURATION, "10s", "0s", "24h", "min_rate counts only after this long"),
	CONF_END
};

static const struct conf_key client_keys[] = {
	CONF_COUNT(struct conf_client, "max_connections", max_connections, "10000", "1", "1000000",
		"connections of all clients together"),
	CONF_COUNT(struct conf_client, "max_connections_per_ip", max_connections_per_ip, "0", NULL, "1000000",
		"connections of one address; 0: no limit"),
	CONF_DURATION(struct conf_client, "first_byte_timeout", first_byte_timeout_us, "10s", "1ms", "24h",
		"a new connection that says nothing is closed"),
	CONF_DURATION(struct conf_client, "header_timeout", header_timeout_us, "5s", "1ms", "24h",
		"the whole head, from the first byte of a request on: 408"),
	CONF_BLOCK(struct conf_client, "body", body, body_keys, "how slow a request body may be"),
	CONF_DURATION(struct conf_client, "write_idle_timeout", write_idle_timeout_us, "30s", "1ms", "24h",
		"a reader that does not read is cut off"),
	CONF_DURATION(struct conf_client, "keepalive_timeout", keepalive_timeout_us, "75s", "1ms", "24h",
		"an idle connection is closed"),
	CONF_COUNT(struct conf_client, "max_requests_per_connection", max_requests_per_connection, "0", NULL, NULL,
		"then the connection is closed; 0: no limit"),
	CONF_DURATION(struct conf_client, "max_connection_age", max_connection_age_us, "1h", "1ms", "30d",
		"then the connection is closed after its request"),
	CONF_SIZE(struct conf_client, "max_header_size", max_header_size, "32KiB", "1KiB", "1MiB", "the whole head of a request: 431"),
	CONF_COUNT(struct conf_client, "max_headers", max_headers, "100", "1", "1000", "fields in the head of a request: 431"),
	CONF_SIZE(struct conf_client, "max_target_size", max_target_size, "8KiB", "256B", "64KiB", "path and query of a request: 414"),
	CONF_SIZE(struct conf_client, "max_request_body", max_request_body, "16MiB", NULL, NULL,
		"larger bodies: 413; a route may have its own"),
	CONF_END
};

static const struct conf_key admin_keys[] = {
	CONF_ROW(struct conf_admin, "listen", listen, CONF_T_TEXT, .preset = "127.0.0.1:9901", .read = read_admin_listen,
		.flags = CONF_ONCE,
		.help = "address of the probes, metrics and the live page; off: none"),
	CONF_ROW(struct conf_admin, "public", public_paths, CONF_T_TEXTS, .preset = "[/livez, /readyz, /startupz, /healthz, /metrics]",
		.read = read_absolute_path, .help = "paths open to everybody; the rest needs a loopback peer, a unix socket or the token"),
	CONF_TEXT(struct conf_admin, "token_file", token_file, "", "file with the bearer token of the admin listener; empty: none"),
	CONF_BOOL(struct conf_admin, "page", page, "true", "show the live page at /"),
	CONF_END
};

/* ── upstreams ── */

static const struct conf_key endpoint_keys[] = {
	CONF_ROW(struct conf_endpoint, "url", url, CONF_T_TEXT, .read = read_url, .flags = CONF_REQUIRED,
		.help = "http://host:port or unix:/path", .example = "http://127.0.0.1:3000"),
	CONF_COUNT(struct conf_endpoint, "weight", weight, "1", "1", "1000", "its share of the requests, relative to its neighbours'"),
	CONF_END
};
static const struct conf_key pool_keys[] = {
	CONF_COUNT(struct conf_pool, "max_connections", max_connections, "256", "1", "65535", "connections to one endpoint"),
	CONF_DURATION(struct conf_pool, "idle_timeout", idle_timeout_us, "60s", "1ms", "24h", "an unused connection is closed"),
	CONF_COUNT(struct conf_pool, "max_requests", max_requests, "0", NULL, NULL, "then a connection is closed; 0: no limit"),
	CONF_END
};
static const struct conf_key health_keys[] = {
	CONF_ROW(struct conf_health, "path", path, CONF_T_TEXT, .preset = "/healthz", .read = read_target,
		.help = "what is asked of each endpoint"),
	CONF_DURATION(struct conf_health, "interval", interval_us, "5s", "1ms", "24h", "pause between two checks of an endpoint"),
	CONF_SHARE(struct conf_health, "jitter", jitter, "20%", "by how much the interval varies"),
	CONF_DURATION(struct conf_health, "timeout", timeout_us, "2s", "1ms", "24h", "a check that takes longer has failed"),
	CONF_CUSTOM(struct conf_health, "expect_status", status_min, read_expect_status, "200-299",
		"a status, or a range of them, that is healthy"),
	CONF_COUNT(struct conf_health, "healthy_after", healthy_after, "2", "1", "100",
		"good checks in a row until an endpoint is back"),
	CONF_COUNT(struct conf_health, "unhealthy_after", unhealthy_after, "3", "1", "100",
		"failed checks in a row until an endpoint is out"),
	CONF_END
};

const struct conf_key conf_upstream_keys[] = {
	{ .name = "endpoints", .type = CONF_T_LIST, .offset = offsetof(struct conf_upstream, endpoints), .keys = endpoint_keys,
		.item_size = sizeof(struct conf_endpoint), .present_offset = CONF_NO_PRESENCE,
		.help = "fixed addresses: a URL, or a list of URLs or of {url, weight}", .example = "[http://127.0.0.1:3000]" },
	CONF_ROW(struct conf_upstream, "dns", discover, CONF_T_CUSTOM, .read = read_dns,
		.help = "instead of endpoints: all addresses of a name, refreshed by its TTL",
		.example = "http://search.internal:9200"),
	CONF_ROW(struct conf_upstream, "srv", discover, CONF_T_CUSTOM, .read = read_srv,
		.help = "instead of endpoints: hosts, ports and weights of an SRV record",
		.example = "_http._tcp.billing.internal"),
	CONF_DURATION(struct conf_upstream, "connect_timeout", connect_timeout_us, "1s", "1ms", "24h", "until a connection stands"),
	CONF_ROW(struct conf_upstream, "host_header", host_header, CONF_T_TEXT, .preset = "keep", .read = read_host_header,
		.help = "Host that the endpoint gets: keep (the client's), endpoint (its own), or a value"),
	CONF_BLOCK(struct conf_upstream, "pool", pool, pool_keys, "connections kept to each endpoint"),
	{ .name = "health_check", .type = CONF_T_BLOCK, .offset = offsetof(struct conf_upstream, health_check), .keys = health_keys,
		.item_size = sizeof(struct conf_health), .present_offset = offsetof(struct conf_upstream, health_check.present),
		.help = "ask each endpoint every now and then; absent: no active checks" },
	CONF_BOOL(struct conf_upstream, "required", required, "true", "/readyz needs one healthy endpoint here"),
	CONF_NOT_YET("protocol", "http1, h2, h2c, auto"),
	CONF_NOT_YET("tls", "TLS to the endpoints"),
	CONF_END
};

/* ── routes ── */

static const struct conf_key rewrite_keys[] = {
	CONF_ROW(struct conf_route, "prefix", rewrite_prefix, CONF_T_TEXT, .read = read_absolute_path,
		.help = "takes the place of the route's path", .example = "/"),
	CONF_END
};
static const struct conf_key request_headers_keys[] = {
	CONF_ROW(struct conf_route, "set", request_set, CONF_T_MAP, .read = read_set_request_field, .help = "fields to set, whatever was there",
		.example = "{x-team: search}"),
	CONF_ROW(struct conf_route, "remove", request_remove, CONF_T_TEXTS, .read = read_field_name, .help = "fields to take out",
		.example = "[x-debug]"),
	CONF_END
};
static const struct conf_key response_headers_keys[] = {
	CONF_ROW(struct conf_route, "set", reply_set, CONF_T_MAP, .read = read_set_reply_field, .help = "fields to set, whatever was there",
		.example = "{cache-control: no-store}"),
	CONF_ROW(struct conf_route, "remove", reply_remove, CONF_T_TEXTS, .read = read_field_name, .help = "fields to take out",
		.example = "[x-powered-by]"),
	CONF_END
};
/* The members lie flat in struct conf_route: offset 0, and the inner rows have offsets in it. */
#define FLAT(n, table, text) \
	{ .name = (n), .type = CONF_T_BLOCK, .keys = (table), .present_offset = CONF_NO_PRESENCE, .help = (text) }

const struct conf_key conf_route_keys[] = {
	CONF_ROW(struct conf_route, "name", name, CONF_T_TEXT, .read = read_route_name,
		.help = "in logs and metrics; made of the path when left out", .example = "search"),
	CONF_ROW(struct conf_route, "host", hosts, CONF_T_TEXTS, .read = read_host,
		.help = "only these hosts; *.example.com takes all beneath", .example = "[shop.example.com, \"*.shop.example.com\"]"),
	CONF_ROW(struct conf_route, "path", path, CONF_T_TEXT, .preset = "/", .read = read_route_path,
		.help = "a prefix of whole segments; \"=/exact\"; \"~regex\". The most specific wins, then the order written"),
	CONF_ROW(struct conf_route, "methods", methods, CONF_T_TEXTS, .read = read_method, .help = "only these methods",
		.example = "[GET, POST]"),
	CONF_ROW(struct conf_route, "headers", headers, CONF_T_MAP, .read = read_field,
		.help = "only when all of these fields have these values", .example = "{x-beta: \"1\"}"),
	CONF_CUSTOM(struct conf_route, "flag", flag, read_route_flag, NULL,
		"only while this feature flag is on for the request: NAME, or NAME=VARIANT"),
	CONF_ROW(struct conf_route, "upstream", to, CONF_T_TEXT_OR_MAP,
		.help = "name of an upstream, or the URL of its only endpoint; or a split: shares by name, the stable one first, 100% together",
		.example = "http://127.0.0.1:3000, or {v1: 95%, v2: 5%}"),
	FLAT("rewrite", rewrite_keys, "change the path before it goes to the upstream"),
	FLAT("request_headers", request_headers_keys, "change the fields that the upstream gets"),
	FLAT("response_headers", response_headers_keys, "change the fields that the client gets"),
	CONF_ROW(struct conf_route, "max_request_body", max_request_body, CONF_T_SIZE,
		.help = "larger bodies: 413; default: client.max_request_body",
		.example = "64MiB"),
	CONF_END
};

/* ── what you see ── */

static const struct conf_key log_keys[] = {
	CONF_WORD(struct conf_log, "level", level, log_levels, "info", "error, warn, info or debug"),
	CONF_ROW(struct conf_log, "format", format, CONF_T_WORD, .preset = "auto", .words = log_formats, .flags = CONF_ONCE,
		.help = "auto: text on a terminal, json elsewhere"),
	CONF_END
};
static const struct conf_key always_keys[] = {
	CONF_CUSTOM(struct conf_always, "status", status_min, read_always_status, "500-599", "a status, or a range of them; off: none"),
	CONF_DURATION(struct conf_always, "slower_than", slower_us, "1s", "0s", "24h", "requests that took longer; 0s: slowness does not count"),
	CONF_BOOL(struct conf_always, "retried", retried, "true", "requests that took more than one try"),
	CONF_END
};
static const struct conf_key access_log_keys[] = {
	CONF_CUSTOM(struct conf_access_log, "to", to, read_access_to, "stdout", "stdout, stderr, off, or a file (SIGUSR1 reopens it)"),
	CONF_WORD(struct conf_access_log, "format", format, access_formats, "auto",
		"text, json, otel (JSON of OTLP, one log record a line) or clf (Combined Log Format); auto: text on a terminal, json elsewhere"),
	CONF_SHARE(struct conf_access_log, "sample", sample, "100%", "share of the requests that is logged"),
	CONF_ROW(struct conf_access_log, "skip_paths", skip_paths, CONF_T_TEXTS, .preset = "[/livez, /readyz, /healthz]",
		.read = read_absolute_path,
		.help = "paths that are not logged when they succeed"),
	CONF_BLOCK(struct conf_access_log, "always", always, always_keys, "requests that are logged whatever the sample"),
	CONF_END
};
static const struct conf_key metrics_keys[] = {
	CONF_BOOL(struct conf_metrics, "per_endpoint", per_endpoint, "true", "a series for each endpoint; false: only for each upstream"),
	CONF_CUSTOM(struct conf_metrics, "buckets", bucket_us, read_buckets, "default",
		"upper ends of the buckets of all histograms: a list of durations; default: 1ms to 1m in fifteen steps"),
	CONF_END
};
static const struct conf_key tracing_keys[] = {
	CONF_ROW(struct conf_tracing, "otlp", otlp, CONF_T_TEXT, .preset = "${OTEL_EXPORTER_OTLP_ENDPOINT:-}", .read = read_collector,
		.help = "collector that gets spans by OTLP over HTTP, in JSON; empty: none", .example = "http://127.0.0.1:4318"),
	CONF_SHARE(struct conf_tracing, "sample", sample, "1%",
		"share of the traces begun here; the caller's decision is kept, and errors always are"),
	CONF_ROW(struct conf_tracing, "service", service, CONF_T_TEXT, .preset = "${OTEL_SERVICE_NAME:-outrigger}",
		.help = "what it is called there (service.name)"),
	CONF_END
};
static const struct conf_key errors_keys[] = {
	CONF_WORD(struct conf_errors, "format", format, error_formats, "auto", "our own answers: problem+json or html; auto: by Accept"),
	CONF_CUSTOM(struct conf_errors, "detail", full_detail, read_detail, "minimal",
		"minimal, or full: with route, upstream, endpoint and attempts"),
	CONF_END
};
static const struct conf_key shutdown_keys[] = {
	CONF_DURATION(struct conf_shutdown, "delay", delay_us, "0s", "0s", "1h", "stay up, but not ready, before closing"),
	CONF_DURATION(struct conf_shutdown, "timeout", timeout_us, "30s", "0s", "24h", "then what is still in flight is cut"),
	CONF_END
};

static const struct conf_key overload_keys[] = {
	CONF_DURATION(struct conf_overload, "queue_delay", queue_delay_us, "100ms", "0s", "1h",
		"mean wait in an upstream's line (see concurrency.queue); for that upstream only"),
	CONF_DURATION(struct conf_overload, "loop_lag", loop_lag_us, "20ms", "0s", "1m",
		"until a worker looks at what has come in; for that worker only"),
	CONF_SHARE(struct conf_overload, "memory", memory, "90%", "outrigger's own resident memory, of what its cgroup may have; not without one"),
	CONF_SHARE(struct conf_overload, "descriptors", descriptors, "90%", "open descriptors, of RLIMIT_NOFILE"),
	CONF_END
};
static const struct conf_key flags_keys[] = {
	CONF_ROW(struct conf_flags, "from", from, CONF_T_TEXT, .preset = "", .read = read_flags_from, .example = "file:/etc/outrigger/flags.json",
		.help = "where the flags are: file:/PATH (read again when it changes), or the URL of such a file; empty: none"),
	CONF_DURATION(struct conf_flags, "interval", interval_us, "30s", "1s", "24h", "a URL is asked again after so long, more or less a fifth"),
	CONF_ROW(struct conf_flags, "forward", forward, CONF_T_TEXTS, .preset = "[]", .read = read_flags_forward, .example = "[new-search, colour]",
		.help = "flags that upstreams are told about in x-flags, when they are on for the request: \"new-search, colour=blue\""),
	CONF_END
};
static const struct conf_key redis_keys[] = {
	CONF_ROW(struct conf_redis, "url", url, CONF_T_CUSTOM, .read = read_redis_url, .flags = CONF_REQUIRED,
		.help = "redis://host:port/database, with user@ before the host when Redis wants one, or unix:/path",
		.example = "redis://127.0.0.1:6379/0"),
	CONF_TEXT(struct conf_redis, "password_file", password_file, "", "file with the password; empty: none"),
	CONF_DURATION(struct conf_redis, "timeout", timeout_us, "20ms", "1ms", "10s",
		"an answer that takes longer does not count: the policy's on_store_error holds"),
	CONF_END
};

#define LEVEL(n, text, ...) { .name = (n), .type = CONF_T_BLOCK, .present_offset = CONF_NO_PRESENCE, .help = (text), __VA_ARGS__ }

const struct conf_key conf_top_keys[] = {
	{ .name = "listen", .type = CONF_T_LIST, .offset = offsetof(struct conf, listeners), .keys = listen_keys,
		.item_size = sizeof(struct conf_listener),
		.present_offset = CONF_NO_PRESENCE, .help = "where clients connect: an address, or a list of them", .example = "0.0.0.0:8080" },
	CONF_ROW(struct conf, "trusted_proxies", trusted_proxies, CONF_T_TEXTS, .preset = "[]", .read = read_network,
		.help = "addresses or networks whose X-Forwarded-*, X-Request-ID and deadlines we believe", .example = "[10.0.0.0/8]"),
	CONF_BLOCK(struct conf, "client", client, client_keys, "limits on the client side of every listener"),
	CONF_BLOCK(struct conf, "admin", admin, admin_keys, "probes, metrics and the live page"),
	LEVEL("defaults", "what every route starts from"),
	LEVEL("upstreams", "what we protect, by name"),
	LEVEL("routes", "who goes where: a list"),
	CONF_BLOCK(struct conf, "log", log, log_keys, "what outrigger says about itself, on standard error"),
	CONF_BLOCK(struct conf, "access_log", access_log, access_log_keys, "one line per request"),
	CONF_BLOCK(struct conf, "metrics", metrics, metrics_keys, "what /metrics tells"),
	CONF_BLOCK(struct conf, "tracing", tracing, tracing_keys, "where spans go"),
	CONF_BLOCK(struct conf, "errors", errors, errors_keys, "answers that outrigger gives itself"),
	CONF_BLOCK(struct conf, "shutdown", shutdown, shutdown_keys, "how outrigger stops"),
	CONF_BLOCK(struct conf, "overload", overload, overload_keys,
		"when it is too much: then `shed` begins, nothing is retried, idle clients leave sooner; 0 (0s, 0%): does not count"),
	CONF_ROW(struct conf, "supervisor", supervisor, CONF_T_WORD, .words = off_on, .preset = "on", .flags = CONF_ONCE,
		.help = "on or off: a parent process holds the sockets, and replaces a server that crashes"),
	CONF_ROW(struct conf, "watchdog", watchdog_us, CONF_T_DURATION, .preset = "10s", .min = "0s", .max = "1h", .flags = CONF_ONCE,
		.help = "a server with a loop that stands still for so long (2s or more) is replaced by its supervisor; 0s: never"),
	CONF_ROW(struct conf, "user", user, CONF_T_TEXT, .preset = "", .flags = CONF_ONCE,
		.help = "started as root: become this user once all is open; empty: stay root, but (sandbox) without its privileges",
		.example = "nobody"),
	CONF_ROW(struct conf, "sandbox", sandbox, CONF_T_WORD, .words = off_on, .preset = "on", .flags = CONF_ONCE,
		.help = "on or off: no capabilities, only the files and system calls that a server needs"),
	CONF_ROW(struct conf, "workers", workers, CONF_T_CUSTOM, .read = read_workers, .preset = "1", .flags = CONF_ONCE,
		.help = "threads that serve; auto: as many as processors allowed by affinity and cgroup"),
	{ .name = "redis", .type = CONF_T_NAMED, .offset = offsetof(struct conf, redis), .keys = redis_keys, .item_size = sizeof(struct conf_redis),
		.present_offset = CONF_NO_PRESENCE, .help = "stores that several instances share, by name", .example = "main" },
	CONF_BLOCK(struct conf, "flags", flags, flags_keys, "feature flags: `flag` of a route, `dry_run` of a policy"),
	CONF_NOT_YET("include", "more files"),
	CONF_END
};

_Static_assert(offsetof(struct conf, redis_count) - offsetof(struct conf, redis) == offsetof(struct conf_list, count)
	&& offsetof(struct conf_redis, name) == 0, "a conf_list of named structs");
_Static_assert(offsetof(struct conf, listener_count) - offsetof(struct conf, listeners) == offsetof(struct conf_list, count),
	"a conf_list");
_Static_assert(offsetof(struct conf_upstream, endpoint_count) - offsetof(struct conf_upstream,
	endpoints) == offsetof(struct conf_list, count), "a conf_list");

static const struct conf_key no_keys[] = { CONF_END };
const struct level_scope scope_defaults = { no_keys, CONF_DEFAULTS, ORIGIN_DEFAULTS, "defaults" };
const struct level_scope scope_upstream = { conf_upstream_keys, CONF_UPSTREAM, ORIGIN_UPSTREAM, "an upstream" };
const struct level_scope scope_route = { conf_route_keys, CONF_ROUTE, ORIGIN_ROUTE, "a route" };

const struct level_scope *scope_of(unsigned level)
{
	return level == CONF_DEFAULTS ? &scope_defaults : level == CONF_UPSTREAM ? &scope_upstream : &scope_route;
}
