/* test_conf_yaml.c - the text itself: syntax, tabs, aliases, merge keys, variables, bounds; and how a complaint looks. */
#include "conf_try.h"

#include <time.h>

#define ROUTES "routes: [{path: /, upstream: \"http://a:1\"}]\n"

static void test_not_yaml(void **state)
{
	(void)state;
	static const struct { const char *yaml, *said; } cases[] = {
		{ "listen: [\n", "2:1: error: not valid YAML: did not find expected node content\n" },
		{ "listen: :1\n  routes: x\n", "2:9: error: not valid YAML: mapping values are not allowed in this context\n" },
		{ "listen: \"x\n", "2:1: error: not valid YAML: found unexpected end of stream\n" },
		{ "- a\n", "1:1: error: a configuration is a mapping of keys\n" },
		{ "hello\n", "1:1: error: a configuration is a mapping of keys\n" },
		{ "listen: :1\nclient:\n\tmax_headers: 5\n", "3:1: error: tab in the indentation\n" },
		{ "listen: :1\nclient:\n  \tmax_headers: 5\n", "3:3: error: tab in the indentation\n" },
		{ "listen: :1\nclient: {\n\tmax_headers: 5}\n" ROUTES, "3:1: error: tab in the indentation\n" },
		{ "listen: :1\n" ROUTES "---\nlisten: :2\n", "3:1: error: a second document\n" },
		{ "listen: :1\n" ROUTES "client: *nobody\n", "3:9: error: alias '*nobody' has no anchor\n" },
		{ "listen: :1\n" ROUTES "x-a: &a [1, *a]\n", "3:13: error: alias '*a' has no anchor\n" },
		{ "listen: :1\n" ROUTES "{a: b}: c\n", "3:1: error: a key must be plain text\n" },
		{ "listen: :1\n" ROUTES "? [a]\n: c\n", "3:3: error: a key must be plain text\n" },
		{ "listen: :1\nroutes:\n  - {host: *.shop.com}\n",
			"3:13: error: not valid YAML: did not find expected alphabetic or numeric character\n" },
		{ "listen: :1\n" ROUTES "yes: 1\n", "3:1: error: a key cannot be called 'yes'\n3:1: error: unknown key 'yes'\n" },
		{ "listen: :1\n" ROUTES "x-a: {<<: 5}\n", "3:11: error: '<<' needs a mapping\n" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		try_expect(cases[i].yaml, cases[i].said);
}

static void test_bytes(void **state)
{
	(void)state;
	struct tried t = try_text("listen: \"\xff\"\n");
	assert_null(t.conf);
	assert_true(try_contains(&t.report.text, "not a text file in UTF-8"));
	try_end(&t);
	/* A byte order mark is not a column, columns count characters, and Windows line ends are line ends. */
	try_expect("\xef\xbb\xbflistne: :1\r\n" ROUTES, "1:1: error: unknown key 'listne'\n1:1: error: there is no 'listen'\n");
	try_expect("listen: :1\r\n" ROUTES "\"\xc3\xa4\": {x: \xe2\x82\xac}\r\nerrors: {\xc3\xa4: \xc3\xa4, format: x}\r\n",
		"3:1: error: unknown key '\xc3\xa4'\n4:10: error: unknown key '\xc3\xa4' in errors\n4:24: error: 'format' cannot be 'x'\n");
}

static void test_aliases(void **state)
{
	(void)state;
	struct tried t = try_text(
		"listen: :1\n"
		"x-retry: &careful {max_retries: 0, budget: 5%}\n"
		"x-body: &body {max_headers: 7, body: {grace: 3s}}\n"
		"client: {<<: *body, max_connections: 9}\n"
		"routes:\n"
		"  - {path: /a, upstream: \"http://a:1\", retry: *careful}\n"
		"  - {path: /b, upstream: \"http://a:1\", retry: {<<: [*careful, {buffer: 1KiB}], max_retries: 3}}\n");
	assert_non_null(t.conf);
	assert_int_equal(t.conf->client.max_headers, 7);
	assert_int_equal(t.conf->client.body.grace_us, 3000000);
	assert_int_equal(t.conf->client.max_connections, 9);
	const struct try_retry *a = t.conf->routes[0].settings[RETRY], *b = t.conf->routes[1].settings[RETRY];
	assert_int_equal(a->max_retries, 0);
	assert_true(a->budget == 0.05);
	assert_int_equal(b->max_retries, 3);
	assert_int_equal(b->buffer, 1024);
	assert_true(b->budget == 0.05);
	try_end(&t);
}

/* Nine levels of ten aliases each: a thousand million values if somebody wrote them out. */
static void test_alias_bomb(void **state)
{
	(void)state;
	char yaml[4096];
	struct text text;
	text_over(&text, yaml, sizeof(yaml) - 1);
	text_add(&text, SPAN("x-0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"));
	for (int i = 1; i < 10; i++) {
		text_f(&text, "x-%d: &a%d [", i, i);
		for (int n = 0; n < 10; n++)
			text_f(&text, "%s*a%d", n ? ", " : "", i - 1);
		text_add(&text, SPAN("]\n"));
	}
	yaml[text.len] = '\0';
	struct tried t = try_text(yaml);
	assert_null(t.conf);
	assert_true(try_contains(&t.report.text, "too many values"));
	assert_int_equal(t.report.errors, 1);
	try_end(&t);
}

static void test_depth(void **state)
{
	(void)state;
	char yaml[400] = "x: ";
	memset(yaml + 3, '[', 200);
	struct tried t = try_text(yaml);
	assert_true(try_contains(&t.report.text, "nested too deeply"));
	try_end(&t);
}

static void test_variables(void **state)
{
	(void)state;
	setenv("CONF_TRY_HOST", "db.internal", 1);
	setenv("CONF_TRY_EMPTY", "", 1);
	setenv("CONF_TRY_YAML", "a: [b", 1);
	unsetenv("CONF_TRY_UNSET");
	struct tried t = try_text(
		"listen: ${CONF_TRY_UNSET:-0.0.0.0:80}\n"
		"admin: {token_file: \"${CONF_TRY_EMPTY:-}\"}\n"
		"routes:\n"
		"  - {path: \"~^/a$\", upstream: \"http://${CONF_TRY_HOST}:${CONF_TRY_UNSET:-3000}\"}\n"
		"  - {path: /b, upstream: \"http://${CONF_TRY_HOST:?needed}\", request_headers: {set: {\n"
		"     a: \"${CONF_TRY_YAML}\", b: $$5 $ $x, c: \"$${HOME}\", d: \"${CONF_TRY_EMPTY}\"}}}\n");
	assert_non_null(t.conf);
	assert_span(t.conf->listeners[0].address, "0.0.0.0:80");
	assert_span(t.conf->admin.token_file, "");
	assert_span(t.conf->routes[0].path, "~^/a$");
	assert_span(t.conf->routes[0].upstream->endpoints[0].url, "http://db.internal:3000");
	assert_span(t.conf->routes[1].upstream->endpoints[0].url, "http://db.internal");
	assert_span(t.conf->routes[1].request_set.at[0].value, "a: [b");
	assert_span(t.conf->routes[1].request_set.at[1].value, "$5 $ $x");
	assert_span(t.conf->routes[1].request_set.at[2].value, "${HOME}");
	assert_span(t.conf->routes[1].request_set.at[3].value, "");
	try_end(&t);
	try_expect("listen: ${CONF_TRY_UNSET}\n" ROUTES, "1:9: error: the environment variable 'CONF_TRY_UNSET' is not set\n");
	try_expect("listen: \"x ${CONF_TRY_UNSET:?say where}\"\n" ROUTES, "1:12: error: 'CONF_TRY_UNSET' is not set: say where\n");
	try_expect("listen: ${CONF TRY}\n" ROUTES, "1:9: error: cannot read '${CONF TRY}'\n");
	try_expect("listen: a${\n" ROUTES, "1:10: error: '${' without '}'\n");
	/* In values only. */
	try_expect("listen: :1\n" ROUTES "x${CONF_TRY_HOST}: 1\n", "3:1: error: unknown key 'x${CONF_TRY_HOST}'\n");
}

static void test_nothing(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		static const char *const empty[] = { "", "# nothing yet\n", "---\n" };
		struct tried t = try_text(empty[i]);
		assert_null(t.conf);
		assert_int_equal(t.report.errors, 2);
		assert_true(try_contains(&t.report.text, "there is no 'listen'"));
		assert_true(try_contains(&t.report.text, "there are no 'routes'"));
		try_end(&t);
	}
	struct conf_source from = { .file = "/nowhere/at/all.yaml" };
	struct tried t = try_source(&from);
	assert_null(t.conf);
	assert_true(try_contains(&t.report.text, "/nowhere/at/all.yaml: error: cannot be opened: No such file or directory\n"));
	try_end(&t);
	from = (struct conf_source){ .file = "/" };
	t = try_source(&from);
	assert_true(try_contains(&t.report.text, "/: error: cannot be read: Is a directory\n"));
	try_end(&t);
}

/* The page of the manual, to the letter. */
static void test_the_look(void **state)
{
	(void)state;
	struct conf_source from = { .file = "outrigger.yaml", .text = SPAN(
		"listen: 0.0.0.0:8080\n\nroutes:\n  - path: /\n    upstream: http://127.0.0.1:3000\n\n\n\n\n"
		"  - name: orders\n    path: /orders\n    upstream: http://127.0.0.1:3001\n\n    time_out: 10s\n\n"
		"  - name: search\n    path: /search\n    upstream: http://127.0.0.1:3001\n    timeout: 10\n") };
	struct tried t = try_source(&from);
	assert_span(text_span(&t.report.text),
		"outrigger.yaml:14:5: error: unknown key 'time_out' in routes[1] ('orders')\n"
		"   14 |     time_out: 10s\n"
		"      |     ^^^^^^^^ did you mean 'timeout'?\n"
		"outrigger.yaml:19:14: error: 'timeout' needs a unit\n"
		"   19 |     timeout: 10\n"
		"      |              ^^ write 10s (seconds) or 10ms (milliseconds)\n"
		"2 errors, 0 warnings\n");
	assert_span(text_span(&t.report.json),
		"[{\"file\":\"outrigger.yaml\",\"line\":14,\"column\":5,\"severity\":\"error\","
		"\"message\":\"unknown key 'time_out' in routes[1] ('orders')\","
		"\"hint\":\"did you mean 'timeout'?\"},{\"file\":\"outrigger.yaml\",\"line\":19,\"column\":14,\"severity\":\"error\","
		"\"message\":\"'timeout' needs a unit\",\"hint\":\"write 10s (seconds) or 10ms (milliseconds)\"}]");
	try_end(&t);
	t = try_text("listen: :1\nroutes: [{upstream: \"http://a:1\"}]\n");
	assert_int_equal(t.report.text.len, 0);
	assert_span(text_span(&t.report.json), "[]");
	try_end(&t);
}

static void test_hints(void **state)
{
	(void)state;
	static const struct { const char *line, *hint; } cases[] = {
		{ "access_log: {sample: 0.5}", "write 50%" },
		{ "access_log: {sample: 0.25}", "write 25%" },
		{ "access_log: {sample: 50}", "write 50%" },
		{ "client: {max_header_size: 32}", "write 32KiB, 32MiB or 32B (bytes)" },
		{ "client: {max_headers: 0}", "allowed are 1 to 1000" },
		{ "defaults: {max_retries: 3}", "did you mean 'retry.max_retries'?" },
		{ "defaults: {retry: {max_retry: 3}}", "did you mean 'max_retries'?" },
		{ "log: {level: wran}", "did you mean 'warn'? allowed: error, warn, info or debug" },
		{ "log: {colour: red}", "allowed: level, format" },
		{ "upstreams: {a: {endpoints: http://a:1, required: on}}", "write true" },
		{ "trused_proxies: []", "did you mean 'trusted_proxies'?" },
		{ "defaults: {health_check: {}}", "it belongs in an upstream" },
		{ "defaults: {respond: {}}", "it belongs in a route" },
		{ "upstreams: {a: {endpoints: \"https://a\"}}", "write http://host:port" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char yaml[300];
		snprintf(yaml, sizeof(yaml), "listen: :1\n" ROUTES "%s\n", cases[i].line);
		struct tried t = try_text(yaml);
		char wanted[200];
		snprintf(wanted, sizeof(wanted), "^ %s\n", cases[i].hint);
		if (!try_contains(&t.report.text, wanted))
			print_error(SPAN_FMT "%s\n", SPAN_ARG(text_span(&t.report.text)), wanted);
		assert_true(try_contains(&t.report.text, wanted));
		try_end(&t);
	}
}

/* A hostile file can neither flood the terminal nor talk to it. */
static void test_floods(void **state)
{
	(void)state;
	struct text text;
	text_init(&text, 1 << 20);
	for (int i = 0; i < 5000; i++)
		text_f(&text, "key%d: \"\\e[31m\"\n", i);
	text_char(&text, '\0');
	struct tried t = try_text(text.at);
	assert_int_equal(t.report.errors, 5002);
	assert_true(try_contains(&t.report.text, "... and 4902 more\n5002 errors, 0 warnings\n"));
	assert_true(t.report.text.len < 64 * 1024);
	try_end(&t);
	text_fini(&text);
	t = try_text("listen: \"\\e[31m\\x07\"\n" ROUTES);
	assert_false(span_has(text_span(&t.report.text), '\033'));
	assert_true(try_contains(&t.report.text, "'?[31m?' has no port"));
	try_end(&t);
}

/* Sixty thousand values on one line: looking up the line of each must not mean walking along it. */
static void test_one_long_line(void **state)
{
	(void)state;
	struct text text;
	text_init(&text, 1 << 20);
	text_add(&text, SPAN("listen: :1\n" ROUTES "x-a: ["));
	for (int i = 0; i < 60000; i++)
		text_add(&text, SPAN("'ab', "));
	text_add(&text, SPAN("c]\n"));
	struct conf_source from = { .file = "t.yaml", .text = text_span(&text) };
	clock_t before = clock();
	struct tried t = try_source(&from);
	assert_non_null(t.conf);
	assert_true(clock() - before < 5 * CLOCKS_PER_SEC);      /* of processor time; it was minutes */
	try_end(&t);
	text_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_yaml), cmocka_unit_test(test_bytes), cmocka_unit_test(test_aliases),
			cmocka_unit_test(test_alias_bomb),
		cmocka_unit_test(test_depth), cmocka_unit_test(test_variables), cmocka_unit_test(test_nothing), cmocka_unit_test(test_the_look),
		cmocka_unit_test(test_hints), cmocka_unit_test(test_floods), cmocka_unit_test(test_one_long_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
