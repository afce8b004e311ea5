/* test_conf_load.c - good files: values, defaults, levels, upstreams for URLs, names, and the options of the command line. */
#include "conf_try.h"

static const struct try_times *times_of(const struct conf_route *r) { return r->settings[TIMES]; }
static const struct try_retry *retry_of(const struct conf_route *r) { return r->settings[RETRY]; }

static struct tried good(const char *yaml)
{
	struct tried t = try_text(yaml);
	if (!t.conf)
		print_error(SPAN_FMT, SPAN_ARG(text_span(&t.report.text)));
	assert_non_null(t.conf);
	assert_int_equal(t.report.errors, 0);
	return t;
}

static void test_defaults(void **state)
{
	(void)state;
	struct tried t = good("listen: 0.0.0.0:8080\nroutes:\n  - path: /\n    upstream: http://127.0.0.1:3000\n    timeout: 10s\n");
	const struct conf *c = t.conf;
	assert_int_equal(c->listener_count, 1);
	assert_span(c->listeners[0].address, "0.0.0.0:8080");
	assert_int_equal(c->trusted_proxies.count, 0);
	assert_int_equal(c->client.max_connections, 10000);
	assert_int_equal(c->client.max_connections_per_ip, 0);
	assert_int_equal(c->client.first_byte_timeout_us, 10000000);
	assert_int_equal(c->client.header_timeout_us, 5000000);
	assert_int_equal(c->client.body.idle_timeout_us, 10000000);
	assert_int_equal(c->client.body.min_rate, 500);
	assert_int_equal(c->client.body.grace_us, 10000000);
	assert_int_equal(c->client.write_idle_timeout_us, 30000000);
	assert_int_equal(c->client.keepalive_timeout_us, 75000000);
	assert_int_equal(c->client.max_requests_per_connection, 0);
	assert_int_equal(c->client.max_connection_age_us, 3600000000);
	assert_int_equal(c->client.max_header_size, 32768);
	assert_int_equal(c->client.max_headers, 100);
	assert_int_equal(c->client.max_target_size, 8192);
	assert_int_equal(c->client.max_request_body, 16 << 20);
	assert_span(c->admin.listen, "127.0.0.1:9901");
	assert_int_equal(c->admin.public_paths.count, 5);
	assert_span(c->admin.public_paths.at[4], "/metrics");
	assert_span(c->admin.token_file, "");
	assert_int_equal(c->log.level, 2);
	assert_int_equal(c->access_log.to, CONF_LOG_STDOUT);
	assert_true(c->access_log.sample == 1.0);
	assert_int_equal(c->access_log.skip_paths.count, 3);
	assert_int_equal(c->errors.format, 0);
	assert_false(c->errors.full_detail);
	assert_int_equal(c->shutdown.delay_us, 0);
	assert_int_equal(c->shutdown.timeout_us, 30000000);
	assert_int_equal(c->workers, 1);
	assert_span(c->file, "t.yaml");
	assert_true(span_starts(c->text_read, SPAN("listen: 0.0.0.0:8080\n")));

	assert_int_equal(c->upstream_count, 1);
	const struct conf_upstream *u = &c->upstreams[0];
	assert_span(u->name, "127.0.0.1:3000");
	assert_true(u->anonymous);
	assert_true(u->required);
	assert_int_equal(u->connect_timeout_us, 1000000);
	assert_span(u->host_header, "keep");
	assert_int_equal(u->pool.max_connections, 256);
	assert_false(u->health_check.present);

	assert_int_equal(c->route_count, 1);
	const struct conf_route *r = &c->routes[0];
	assert_span(r->name, "/");
	assert_ptr_equal(r->upstream, u);
	assert_int_equal(r->line, 3);
	assert_int_equal(r->max_request_body, 16 << 20);
	assert_null(r->rewrite_prefix.at);
	assert_int_equal(times_of(r)->timeout_us, 10000000);
	assert_true(r->present[TIMES]);
	assert_false(r->present[RETRY]);
	assert_int_equal(retry_of(r)->max_retries, 1);
	assert_int_equal(retry_of(r)->causes, 3);
	assert_int_equal(retry_of(r)->methods.count, 2);
	assert_int_equal(retry_of(r)->backoff.max_us, 250000);
	try_end(&t);
}

static const char everything[] =
	"listen: [\":80\", {address: \"[::]:81\"}, unix:/run/o.sock]\n"
	"trusted_proxies: 10.0.0.0/8\n"
	"client: {header_timeout: 1m30s500ms, max_header_size: 1.5KiB, body: {min_rate: 64KiB/s}, max_request_body: 1GB,\n"
	"         max_connection_age: 1.5h}\n"
	"admin: {listen: unix:/run/a.sock, public: [], token_file: /etc/t}\n"
	"upstreams:\n"
	"  a:\n"
	"    endpoints: [{url: \"http://one:80/\", weight: 3}, \"http://[::1]:81\", unix:/run/app.sock]\n"
	"    host_header: endpoint\n"
	"    required: false\n"
	"    pool: {max_connections: 5, idle_timeout: 1s, max_requests: 7}\n"
	"    health_check: {path: /up?x=1, expect_status: 204, jitter: 12.5%}\n"
	"    outlier_detection: {rate: 90/m}\n"
	"  b: {dns: \"http://search.internal:9200\"}\n"
	"  c: {srv: _http._tcp.billing.internal}\n"
	"routes:\n"
	"  - {name: one, host: [shop.example.com, \"*.shop.example.com\"], path: =/exact, methods: GET,\n"
	"     headers: {x-beta: 1}, upstream: a,\n"
	"     rewrite: {prefix: /v2}, request_headers: {set: {x-team: search}, remove: [x-debug, x-trace]},\n"
	"     response_headers: {set: {cache-control: no-store}, remove: server}, max_request_body: 1KiB}\n"
	"  - {path: \"~^/b\", upstream: b}\n"
	"  - {path: /c, upstream: c}\n"
	"  - {path: /d, respond: {status: 204}}\n"
	"log: {level: debug, format: json}\n"
	"access_log: {to: /var/log/o.log, sample: 0.5%, skip_paths: /x}\n"
	"errors: {format: html, detail: full}\n"
	"shutdown: {delay: 5s, timeout: 0s}\n"
	"workers: 4\n";

static void test_values(void **state)
{
	(void)state;
	struct tried t = good(everything);
	const struct conf *c = t.conf;
	assert_int_equal(c->listener_count, 3);
	assert_span(c->listeners[1].address, "[::]:81");
	assert_span(c->listeners[2].address, "unix:/run/o.sock");
	assert_span(c->trusted_proxies.at[0], "10.0.0.0/8");
	assert_int_equal(c->client.header_timeout_us, 90500000);
	assert_int_equal(c->client.max_header_size, 1536);
	assert_int_equal(c->client.body.min_rate, 65536);
	assert_int_equal(c->client.max_request_body, 1000000000);
	assert_int_equal(c->client.max_connection_age_us, 5400000000);
	assert_int_equal(c->admin.public_paths.count, 0);
	assert_span(c->admin.token_file, "/etc/t");

	assert_int_equal(c->access_log.to, CONF_LOG_FILE);
	assert_span(c->access_log.file, "/var/log/o.log");
	assert_true(c->access_log.sample == 0.005);
	assert_int_equal(c->log.level, 3);
	assert_int_equal(c->log.format, 2);
	assert_int_equal(c->errors.format, 2);
	assert_true(c->errors.full_detail);
	assert_int_equal(c->shutdown.delay_us, 5000000);
	assert_int_equal(c->workers, 4);
	try_end(&t);
}

static void test_upstreams(void **state)
{
	(void)state;
	struct tried t = good(everything);
	const struct conf *c = t.conf;
	const struct conf_upstream *a = &c->upstreams[0];
	assert_int_equal(c->upstream_count, 3);
	assert_int_equal(a->endpoint_count, 3);
	assert_span(a->endpoints[0].url, "http://one:80");
	assert_int_equal(a->endpoints[0].weight, 3);
	assert_int_equal(a->endpoints[1].weight, 1);
	assert_span(a->endpoints[2].url, "unix:/run/app.sock");
	assert_span(a->host_header, "endpoint");
	assert_false(a->required);
	assert_int_equal(a->pool.max_requests, 7);
	assert_true(a->health_check.present);
	assert_span(a->health_check.path, "/up?x=1");
	assert_int_equal(a->health_check.status_min, 204);
	assert_int_equal(a->health_check.status_max, 204);
	assert_true(a->health_check.jitter == 0.125);
	assert_int_equal(((const struct try_outlier *)a->settings[OUTLIER])->rate.count, 90);
	assert_int_equal(((const struct try_outlier *)a->settings[OUTLIER])->rate.per_us, 60000000);
	assert_int_equal(c->upstreams[1].discovery, CONF_DNS);
	assert_span(c->upstreams[1].discover, "http://search.internal:9200");
	assert_int_equal(c->upstreams[2].discovery, CONF_SRV);
	assert_span(c->upstreams[2].discover, "_http._tcp.billing.internal");
	try_end(&t);
}

static void test_routes(void **state)
{
	(void)state;
	struct tried t = good(everything);
	const struct conf *c = t.conf;
	const struct conf_route *r = &c->routes[0];
	assert_span(r->name, "one");
	assert_int_equal(r->hosts.count, 2);
	assert_span(r->hosts.at[1], "*.shop.example.com");
	assert_span(r->path, "=/exact");
	assert_span(r->methods.at[0], "GET");
	assert_span(r->headers.at[0].name, "x-beta");
	assert_span(r->headers.at[0].value, "1");
	assert_span(r->rewrite_prefix, "/v2");
	assert_span(r->request_set.at[0].value, "search");
	assert_span(r->request_remove.at[1], "x-trace");
	assert_span(r->reply_set.at[0].name, "cache-control");
	assert_span(r->reply_remove.at[0], "server");
	assert_int_equal(r->max_request_body, 1024);
	assert_int_equal(c->routes[1].max_request_body, 1000000000);
	assert_span(c->routes[1].name, "~^/b");
	assert_null(c->routes[3].upstream);
	assert_true(c->routes[3].present[RESPOND]);
	try_end(&t);
}

static void test_levels(void **state)
{
	(void)state;
	struct tried t = good(
		"listen: :1\n"
		"defaults: {timeout: 20s, retry: {max_retries: 2, budget: 10%, backoff: {max: 1s}}, fallback: {status: 200}}\n"
		"upstreams:\n"
		"  a: {endpoints: http://a:1, per_try_timeout: 3s, retry: {budget: 30%, methods: [GET]}}\n"
		"  b: {endpoints: http://b:1, retry: off}\n"
		"routes:\n"
		"  - {path: /1, upstream: a, timeout: 5s, retry: {retry_on: [], backoff: {base: 5ms}}}\n"
		"  - {path: /2, upstream: a}\n"
		"  - {path: /3, upstream: b}\n"
		"  - {path: /4, upstream: b, retry: on}\n"
		"  - {path: /5, upstream: b, retry: {enabled: true, retry_on: 503}}\n"
		"  - {path: /6, upstream: \"http://c:1\", retry: 4}\n"
		"  - {path: /7, upstream: \"http://c:1\", retry: }\n");
	const struct conf_route *r = t.conf->routes;
	assert_int_equal(times_of(&r[0])->timeout_us, 5000000);
	assert_int_equal(times_of(&r[0])->per_try_us, 3000000);
	assert_int_equal(retry_of(&r[0])->max_retries, 2);
	assert_true(retry_of(&r[0])->budget == 0.3);
	assert_int_equal(retry_of(&r[0])->methods.count, 1);
	assert_int_equal(retry_of(&r[0])->causes, 0);
	assert_int_equal(retry_of(&r[0])->backoff.base_us, 5000);
	assert_int_equal(retry_of(&r[0])->backoff.max_us, 1000000);
	assert_true(r[0].present[FALLBACK]);
	assert_int_equal(times_of(&r[1])->timeout_us, 20000000);
	assert_int_equal(retry_of(&r[1])->causes, 3);
	assert_int_equal(retry_of(&r[1])->backoff.base_us, 25000);
	assert_false(retry_of(&r[2])->enabled);
	assert_int_equal(retry_of(&r[2])->max_retries, 2);
	assert_true(retry_of(&r[3])->enabled);
	assert_true(retry_of(&r[4])->enabled);
	assert_int_equal(retry_of(&r[4])->causes, 2);
	assert_int_equal(retry_of(&r[5])->max_retries, 4);
	assert_ptr_equal(r[5].upstream, r[6].upstream);          /* one upstream for one URL */
	assert_int_equal(t.conf->upstream_count, 3);
	assert_int_equal(((const struct try_retry *)t.conf->upstreams[0].settings[RETRY])->methods.count, 1);
	try_end(&t);
}

static void test_a_split(void **state)
{
	(void)state;
	struct tried t = good(
		"listen: :1\n"
		"defaults: {timeout: 9s}\n"
		"upstreams:\n"
		"  v1: {endpoints: http://a:1, timeout: 7s}\n"
		"  v2: {endpoints: http://b:1, retry: {max_retries: 4}}\n"
		"  v3: {endpoints: http://c:1}\n"
		"routes: [{name: shop, upstream: {v1: 94.5%, v2: 5%, v3: 0.5%}, per_try_timeout: 3s, max_request_body: 1KiB}, {path: /x, upstream: {v3: 100%}}]\n");
	const struct conf_route *r = &t.conf->routes[0];
	assert_int_equal(r->other_count, 2);
	assert_span(r->upstream->name, "v1");
	assert_span(r->others[0].upstream->name, "v2");
	assert_span(r->others[1].name, "shop");
	assert_true(r->share == 0.945 && r->others[0].share == 0.05 && r->others[1].share == 0.005);
	assert_int_equal(times_of(r)->timeout_us, 7000000);
	assert_int_equal(times_of(&r->others[0])->timeout_us, 9000000);
	assert_int_equal(times_of(&r->others[0])->per_try_us, 3000000);
	assert_int_equal(retry_of(r)->max_retries, 1);
	assert_int_equal(retry_of(&r->others[0])->max_retries, 4);
	assert_int_equal(r->others[1].max_request_body, 1024);
	assert_int_equal(t.conf->routes[1].other_count, 0);
	assert_span(t.conf->routes[1].upstream->name, "v3");
	assert_int_equal(t.report.warnings, 0);               /* all are used */
	try_end(&t);
}

static void test_names(void **state)
{
	(void)state;
	struct tried t = good(
		"listen: :1\n"
		"routes:\n"
		"  - {path: /a, host: x, upstream: \"http://a:1\"}\n"
		"  - {path: /a, host: y, upstream: \"http://a:1/\"}\n"
		"  - {path: /b, name: /c, upstream: \"http://a:1\"}\n"
		"  - {path: /c, upstream: \"http://a:2\"}\n");
	assert_span(t.conf->routes[0].name, "/a");
	assert_span(t.conf->routes[1].name, "/a#2");
	assert_span(t.conf->routes[2].name, "/c");
	assert_span(t.conf->routes[3].name, "/c#4");
	assert_int_equal(t.conf->upstream_count, 2);
	try_end(&t);
}

static void test_command_line(void **state)
{
	(void)state;
	struct conf_source from = { .listen = "127.0.0.1:8080", .to = "http://127.0.0.1:3000" };
	struct tried t = try_source(&from);
	assert_non_null(t.conf);
	assert_span(t.conf->file, "command line");
	assert_span(t.conf->listeners[0].address, "127.0.0.1:8080");
	assert_span(t.conf->routes[0].upstream->endpoints[0].url, "http://127.0.0.1:3000");
	assert_int_equal(times_of(&t.conf->routes[0])->timeout_us, 15000000);
	try_end(&t);

	from = (struct conf_source){ .listen = "8080", .to = "3000" };
	t = try_source(&from);
	assert_null(t.conf);
	assert_span(text_span(&t.report.text),
		"command line:1:10: error: '8080' is not an address\n    1 | --listen 8080\n      |          ^^^^ write :8080\n"
		"command line:2:6: error: unknown upstream '3000'\n    2 | --to 3000\n"
		"      |      ^^^^ the name of one of upstreams, or a URL such as http://127.0.0.1:3000\n2 errors, 0 warnings\n");
	try_end(&t);

	from = (struct conf_source){ .listen = ":1" };
	t = try_source(&from);
	assert_null(t.conf);
	assert_true(try_contains(&t.report.text, "there are no 'routes'"));
	try_end(&t);

	/* Over a file: the listener is replaced, all else stays. */
	from = (struct conf_source){ .file = "t.yaml", .text = SPAN("listen: [\":1\", \":2\"]\n"
		"routes: [{upstream: \"http://a:1\", timeout: 3s}]\n"), .listen = ":9" };
	t = try_source(&from);
	assert_non_null(t.conf);
	assert_int_equal(t.conf->listener_count, 1);
	assert_span(t.conf->listeners[0].address, ":9");
	assert_int_equal(times_of(&t.conf->routes[0])->timeout_us, 3000000);
	try_end(&t);
}

static struct tried with_sets(const char *const *sets, unsigned count)
{
	static const char yaml[] = "listen: :1\nupstreams: {a: {endpoints: http://a:1}}\nroutes:\n"
		"  - {name: one, path: /1, upstream: a}\n  - {path: /2, upstream: a, timeout: 7s}\n";
	struct conf_source from = { .file = "t.yaml", .text = SPAN_NONE, .sets = sets, .set_count = count };
	from.text = span_of(yaml);
	return try_source(&from);
}

static void test_sets(void **state)
{
	(void)state;
	setenv("CONF_TRY_NAME", "json", 1);
	const char *const sets[] = {
		"listen=[::]:80", "retry.max_retries=3", "timeout=2s", "routes.one.timeout=4s", "routes.1.retry.budget=50%",
			"upstreams.a.connect_timeout=9s",
		"trusted_proxies=[10.0.0.0/8, 192.168.0.0/16]", "log.level=debug", "log.format=${CONF_TRY_NAME}", "retry.backoff={base: 1ms}",
		"routes.0.headers.x-a=b", "workers=2", "client.body.grace=1s",
	};
	struct tried t = with_sets(sets, sizeof(sets) / sizeof(*sets));
	if (!t.conf)
		print_error(SPAN_FMT, SPAN_ARG(text_span(&t.report.text)));
	assert_non_null(t.conf);
	assert_span(t.conf->listeners[0].address, "[::]:80");
	assert_int_equal(retry_of(&t.conf->routes[0])->max_retries, 3);
	assert_int_equal(retry_of(&t.conf->routes[0])->backoff.base_us, 1000);
	assert_int_equal(times_of(&t.conf->routes[0])->timeout_us, 4000000);
	assert_int_equal(times_of(&t.conf->routes[1])->timeout_us, 7000000);
	assert_true(retry_of(&t.conf->routes[1])->budget == 0.5);
	assert_int_equal(t.conf->upstreams[0].connect_timeout_us, 9000000);
	assert_int_equal(t.conf->trusted_proxies.count, 2);
	assert_int_equal(t.conf->log.level, 3);
	assert_int_equal(t.conf->log.format, 2);
	assert_span(t.conf->routes[0].headers.at[0].name, "x-a");
	assert_int_equal(t.conf->client.body.grace_us, 1000000);
	try_end(&t);

	const char *const bad[] = { "timeout=10", "routes.7.timeout=1s", "nonsense", "=3", "tiemout=3s", "routes.one.path.x=1",
		"trusted_proxies=[10.0.0.0/8, foo]", "log={}x}", "client={max_headers: [}" };
	char said[2048];
	t = with_sets(bad, sizeof(bad) / sizeof(*bad));
	try_messages(&t, said, sizeof(said));
	assert_string_equal(said,
		"--set:1:9: error: 'timeout' needs a unit\n"
		"--set:2:8: error: there is no element '7'\n"
		"--set:3:1: error: --set needs KEY=VALUE\n"
		"--set:4:1: error: --set needs KEY=VALUE\n"
		"--set:5:9: error: unknown key 'tiemout' in defaults\n"
		"--set:6:17: error: there is no key 'x'\n"
		"--set:7:30: error: 'foo' is not an IP address or network\n"
		"--set:8:7: error: not valid YAML: did not find expected <document start>\n"
		"--set:9:23: error: not valid YAML: did not find expected node content\n");
	try_end(&t);
}

static bool regex_ok(struct span pattern, struct text *why)
{
	text_add(why, SPAN("missing )"));
	return !span_has(pattern, '(');
}

static void test_regex(void **state)
{
	(void)state;
	struct conf_source from = { .file = "t.yaml", .regex_ok = regex_ok,
		.text = SPAN("listen: :1\nroutes: [{path: ~^/a, upstream: \"http://a:1\"}, {path: \"~^/(b\", upstream: \"http://a:1\"}]\n") };
	struct tried t = try_source(&from);
	char said[300];
	try_messages(&t, said, sizeof(said));
	assert_string_equal(said, "2:57: error: not a regular expression: missing )\n");
	try_end(&t);
}

static void test_workers_auto(void **state)
{
	(void)state;
	struct tried t = good("listen: :1\nworkers: auto\nroutes: [{upstream: \"http://a:1\"}]\n");
	assert_in_range(t.conf->workers, 1, 256);
	try_end(&t);
}

static void test_references(void **state)
{
	(void)state;
	struct tried t = good("listen: :1\nroutes: [{upstream: \"http://a:1\"}]\n");
	struct conf *kept = conf_ref(t.conf);
	try_end(&t);
	assert_span(kept->routes[0].path, "/");          /* still there */
	conf_unref(kept);
	conf_unref(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_values), cmocka_unit_test(test_upstreams), cmocka_unit_test(test_routes),
		cmocka_unit_test(test_levels), cmocka_unit_test(test_a_split), cmocka_unit_test(test_names),
		cmocka_unit_test(test_command_line), cmocka_unit_test(test_sets), cmocka_unit_test(test_regex),
			cmocka_unit_test(test_workers_auto),
		cmocka_unit_test(test_references),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
