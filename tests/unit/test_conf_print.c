/* test_conf_print.c - what is printed reads back as the same configuration, and says where each value came from. */
#include "conf_try.h"

static const char rich[] =
	"listen: [\":80\", unix:/run/o.sock]\n"
	"client: {max_headers: 50}\n"
	"defaults:\n"
	"  timeout: 20s\n"
	"  retry: {retry_on: [reset], budget: 12.5%}\n"
	"  outlier_detection: {rate: 90/m}\n"
	"upstreams:\n"
	"  a:\n"
	"    endpoints: [http://one:80, {url: unix:/x, weight: 2}]\n"
	"    per_try_timeout: 1500ms\n"
	"    health_check: {expect_status: 200-204}\n"
	"    outlier_detection: {consecutive_errors: 9}\n"
	"  b: {srv: _http._tcp.b}\n"
	"routes:\n"
	"  - name: one\n"
	"    host: [\"*.example.com\", x.com]\n"
	"    path: \"~^/a(b|c)$\"\n"
	"    methods: [GET, HEAD]\n"
	"    headers: {x-a: \"null\", x-b: \"a, b: #c\", x-c: \"$${X} $$$$ \\\"q\\\" \xc3\xa4\"}\n"
	"    upstream: a\n"
	"    rewrite: {prefix: /z}\n"
	"    response_headers: {remove: [server]}\n"
	"    timeout: 7s\n"
	"    fallback: {status: 200, body: \"{\\\"a\\\": 1}\\n\"}\n"
	"  - {path: /b, upstream: b, retry: off, max_request_body: 5MB}\n"
	"  - {path: =/c, respond: {status: 204}}\n"
	"  - {path: /d, upstream: \"http://127.0.0.1:1\", retry: {retry_on: []}}\n"
	"  - {path: /e, name: split, upstream: {b: 99.5%, a: 0.5%}}\n"
	"access_log: {to: /var/log/x.log}\n"
	"workers: 2\n";

static struct text printed(const struct conf *conf, bool with_origin)
{
	struct text out;
	text_init(&out, 1 << 20);
	conf_print(conf, with_origin, &out);
	assert_false(out.cut);
	return out;
}

static void test_round_trip(void **state)
{
	(void)state;
	for (int with_origin = 0; with_origin < 2; with_origin++) {
		struct tried t = try_text(rich), again;
		assert_non_null(t.conf);
		struct text first = printed(t.conf, with_origin), plain = printed(t.conf, false);
		struct conf_source from = { .file = "again.yaml", .text = text_span(&first) };
		again = try_source(&from);
		if (!again.conf)
			print_error(SPAN_FMT SPAN_FMT, SPAN_ARG(text_span(&first)), SPAN_ARG(text_span(&again.report.text)));
		assert_non_null(again.conf);
		struct text second = printed(again.conf, false);
		text_char(&plain, '\0');
		text_char(&second, '\0');
		assert_string_equal(second.at, plain.at);
		assert_span(again.conf->routes[0].headers.at[2].value, "${X} $$ \"q\" \xc3\xa4");
		assert_span(((const struct try_fallback *)again.conf->routes[0].settings[FALLBACK])->body, "{\"a\": 1}\n");
		assert_false(again.conf->routes[1].present[FALLBACK]);
		assert_true(again.conf->routes[4].other_count == 1 && again.conf->routes[4].others[0].share == 0.005);
		assert_int_equal(((const struct try_retry *)again.conf->routes[3].settings[RETRY])->causes, 0);
		text_fini(&first);
		text_fini(&second);
		text_fini(&plain);
		try_end(&t);
		try_end(&again);
	}
}

/* `line` with its origin behind it, whatever the number of spaces between. */
static bool says(const struct text *out, const char *line, const char *origin)
{
	struct span rest = text_span(out), l;
	while (span_next(&rest, '\n', &l)) {
		if (span_starts(l, SPAN("- ")))
			l = span_from(l, 2);
		if (!span_starts(l, span_of(line)))
			continue;
		struct span behind = span_trim(span_from(l, strlen(line)));
		if (behind.len > 2 && behind.at[0] == '#' && span_eq(span_from(behind, 2), span_of(origin)))
			return true;
	}
	return false;
}

static void test_origins(void **state)
{
	(void)state;
	const char *const sets[] = { "client.max_headers=60", "routes.one.timeout=8s" };
	struct conf_source from = { .file = "t.yaml", .text = span_of(rich), .listen = ":9", .sets = sets, .set_count = 2 };
	struct tried t = try_source(&from);
	assert_non_null(t.conf);
	struct text all = printed(t.conf, true);
	assert_true(says(&all, "address: :9", "command line"));
	assert_true(says(&all, "max_headers: 60", "--set"));
	assert_true(says(&all, "max_connections: 10000", "default"));
	assert_true(says(&all, "weight: 2", "upstream line 9"));
	assert_true(says(&all, "path: \"~^/a(b|c)$\"", "route line 17"));
	assert_true(says(&all, "workers: 2", "line 30"));
	text_fini(&all);

	struct text route;
	text_init(&route, 1 << 16);
	conf_print_route(t.conf, &t.conf->routes[0], true, &route);
	assert_true(says(&route, "timeout: 8s", "--set"));
	assert_true(says(&route, "per_try_timeout: 1500ms", "upstream line 10"));
	assert_true(says(&route, "retry_on: [reset]", "defaults line 5"));
	assert_true(says(&route, "budget: 12.5%", "defaults line 5"));
	assert_true(says(&route, "max_retries: 1", "default"));
	assert_true(says(&route, "status: 200", "route line 24"));
	assert_true(says(&route, "prefix: /z", "route line 21"));
	route.len = 0;
	conf_print_route(t.conf, &t.conf->routes[1], true, &route);
	assert_true(says(&route, "enabled: false", "route line 25"));
	assert_true(says(&route, "timeout: 20s", "defaults line 4"));
	route.len = 0;
	conf_print_route(t.conf, &t.conf->routes[4], true, &route);
	assert_true(says(&route, "upstream: {b: 99.5%, a: 0.5%}", "route line 28"));
	assert_true(says(&route, "per_try_timeout: 0s", "default"));
	assert_true(says(&route, "per_try_timeout: 1500ms", "upstream line 10"));      /* of a */
	text_fini(&route);
	try_end(&t);
}

static void test_json(void **state)
{
	(void)state;
	struct tried t = try_text(rich);
	struct text json;
	text_init(&json, 1 << 20);
	conf_print_json(t.conf, &json);
	static const char *const parts[] = {
		"{\"listen\":[{\"address\":\":80\"},{\"address\":\"unix:/run/o.sock\"}],", "\"max_headers\":50", "\"retry_on\":[\"reset\"]",
			"\"retry_on\":[]",
		"\"budget\":\"12.5%\"", "\"enabled\":false", "\"x-c\":\"${X} $$ \\\"q\\\" \xc3\xa4\"", "\"host\":[\"*.example.com\",\"x.com\"]",
		"\"name\":\"=/c\"", "\"rate\":\"90/m\"", "\"upstream\":{\"b\":\"99.5%\",\"a\":\"0.5%\"}", "\"upstream\":\"a\"", "\"workers\":\"2\",", "\"interval\":\"30s\",\"forward\":[]}}",
	};
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		if (!try_contains(&json, parts[i]))
			print_error("%s\nis not in\n" SPAN_FMT "\n", parts[i], SPAN_ARG(text_span(&json)));
		assert_true(try_contains(&json, parts[i]));
	}
	text_fini(&json);
	try_end(&t);
}

/* Nothing that is marked secret comes out of any printer. */
struct keep { struct span password; };
static void test_secrets(void **state)
{
	(void)state;
	static const struct conf_key keys[] = {
		CONF_ROW(struct keep, "password", password, CONF_T_TEXT, .flags = CONF_SECRET, .help = "a secret"),
		CONF_END
	};
	static const struct conf_block block = { .name = "vault", .keys = keys, .size = sizeof(struct keep), .levels = CONF_EVERYWHERE };
	struct conf_source from = { .file = "t.yaml", .text = SPAN("listen: :1\n"
		"routes: [{upstream: \"http://a:1\", vault: {password: hunter2}}]\n"),
		.blocks = &block, .block_count = 1 };
	struct tried t = try_source(&from);
	assert_non_null(t.conf);
	struct text out = printed(t.conf, true);
	conf_print_json(t.conf, &out);
	conf_print_route(t.conf, &t.conf->routes[0], true, &out);
	assert_false(try_contains(&out, "hunter2"));
	assert_true(try_contains(&out, "password: \"(hidden)\""));
	text_fini(&out);
	try_end(&t);
}

static void test_help(void **state)
{
	(void)state;
	static const struct { const char *key, *part; } cases[] = {
		{ "retry.budget", "retry.budget  (share; default 20%)\n  of live requests\n  may stand in: defaults, upstreams, routes\n" },
		{ "defaults.retry.budget", "default 20%" }, { "routes.retry.budget", "default 20%" }, { "retry.backoff.max", "default 250ms" },
		{ "retry", "  max_retries: 1 " }, { "timeout", "(duration, 1ms to 24h; default 15s)" }, { "client.body.grace", "default 10s" },
		{ "listen", "for example  listen: 0.0.0.0:8080" }, { "upstreams.pool", "  max_connections: 256 " }, { "pool.idle_timeout",
			"default 60s" },
		{ "routes.path", "default /" }, { "workers", "read at start only" }, { "listen.tls", "is not in this version" }, { "log.level",
			"(error, warn, info or debug; default info)" },
	};
	struct text out;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		text_init(&out, 1 << 16);
		assert_true(conf_print_key(try_blocks, TRY_BLOCKS, span_of(cases[i].key), &out));
		if (!try_contains(&out, cases[i].part))
			print_error("%s: " SPAN_FMT "\n", cases[i].key, SPAN_ARG(text_span(&out)));
		assert_true(try_contains(&out, cases[i].part));
		text_fini(&out);
	}
	text_init(&out, 1 << 16);
	static const char *const unknown[] = { "", ".", "retry.", "retry.nothing", "nothing", "upstreams.nothing", "retry.budget.x" };
	for (size_t i = 0; i < sizeof(unknown) / sizeof(*unknown); i++)
		if (strcmp(unknown[i], "retry.") != 0)
			assert_false(conf_print_key(try_blocks, TRY_BLOCKS, span_of(unknown[i]), &out));
	assert_int_equal(out.len, 0);
	text_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_origins), cmocka_unit_test(test_json), cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_help),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
