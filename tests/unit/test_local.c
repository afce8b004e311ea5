/* test_local.c - answers that outrigger makes itself: their heads and bodies, for every kind of reader. */
#include "unit.h"

#include <stdio.h>

static struct world w;

static struct guest *refused(const char *global)
{
	simple_open(&w, &(struct simple){ .defaults = "retry: off", .global = global });
	struct deed *d = simple_deed(&w);
	d->status = 0;
	d->failure = REASON_connection_refused;
	d->unseen = true;
	return world_guest(&w, 0, "GET", "/a");
}

static struct span body_of(const struct guest *g) { return (struct span){ g->text, g->text_len }; }

static bool contains(struct span s, const char *part)
{
	return memmem(s.at, s.len, part, strlen(part)) != NULL;
}

static void test_problem_json(void **state)
{
	(void)state;
	struct guest *g = refused(NULL);
	guest_field(g, "x-request-id", "abc-123");
	guest_field(g, "accept", "*/*");
	simple_finish(&w);
	assert_int_equal(g->status, 502);
	assert_int_equal(g->served_by, SERVED_BY_proxy);
	assert_span(guest_reply_field(g, "content-type"), "application/problem+json");
	assert_span(guest_reply_field(g, "cache-control"), "no-store");
	assert_span(guest_reply_field(g, "proxy-status"), "outrigger; error=connection_refused; details=\"connection_refused\"");
	assert_span(guest_reply_field(g, "x-request-id"), "abc-123");
	assert_span(guest_reply_field(g, "server"), "outrigger");
	assert_span(guest_reply_field(g, "date"), "Wed, 18 Nov 2026 11:06:40 GMT");
	assert_span(guest_reply_field(g, "retry-after"), "");
	assert_span(body_of(g), "{\"type\":\"urn:outrigger:reason:connection_refused\",\"title\":\"The service refused the connection\",\"status\":502,"
		"\"detail\":\"Nothing accepts connections at the endpoint's address, or the host is unreachable. Is the app running?\","
		"\"reason\":\"connection_refused\",\"request_id\":\"abc-123\"}\n");
}

static void test_full_detail(void **state)
{
	(void)state;
	struct guest *g = refused("errors: {detail: full}");
	simple_finish(&w);
	assert_true(contains(body_of(g), "\"route\":\"main\",\"upstream\":\"app\",\"endpoint\":\"app-1:80\",\"attempts\":1}"));
}

static void test_html(void **state)
{
	static const struct { const char *format, *accept; bool html; } cases[] = {
		{ "auto", "text/html,application/xhtml+xml,*/*;q=0.8", true }, { "auto", "application/json", false }, { "auto", NULL, false },
		{ "html", "application/json", true }, { "json", "text/html", false },
	};
	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char global[64];
		snprintf(global, sizeof(global), "errors: {format: %s}", cases[i].format);
		struct guest *g = refused(global);
		if (cases[i].accept)
			guest_field(g, "accept", cases[i].accept);
		simple_finish(&w);
		assert_int_equal(contains(guest_reply_field(g, "content-type"), "text/html"), cases[i].html);
		assert_int_equal(contains(body_of(g), "<h1>The service refused the connection</h1>"), cases[i].html);
	}
}

static void test_head_gets_the_length_and_no_body(void **state)
{
	(void)state;
	struct guest *g = refused(NULL);
	g->method = SPAN("HEAD");
	simple_finish(&w);
	assert_int_equal(g->status, 502);
	assert_int_equal(g->got, 0);
	assert_true(g->told_length > 100);
}

static void test_retry_after_on_503(void **state)
{
	static const enum reason reasons[] = { REASON_dns_error, REASON_connection_refused };
	static const char *const expected[] = { "1", "" };
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct guest *g = refused(NULL);
		w.scripts[0].deeds[0].failure = reasons[i];
		simple_finish(&w);
		assert_span(guest_reply_field(g, "retry-after"), expected[i]);
		assert_int_equal(contains(body_of(g), "\"retry_after\":1"), i == 0);
	}
}

static void test_not_allowed_tells_what_is(void **state)
{
	(void)state;
	simple_open(&w, &(struct simple){ .route = "methods: [GET, HEAD]" });
	simple_deed(&w);
	struct guest *g = world_guest(&w, 0, "DELETE", "/a"), *ok = world_guest(&w, 0, "GET", "/a");
	simple_finish(&w);
	assert_int_equal(g->status, 405);
	assert_span(guest_reply_field(g, "allow"), "GET, HEAD");
	assert_int_equal(ok->status, 200);
}

/* The route's own response_headers are put on our answers as well. */
static void test_response_headers_of_the_route(void **state)
{
	(void)state;
	simple_open(&w, &(struct simple){ .defaults = "retry: off", .route = "response_headers: {set: {x-team: search}, remove: [server]}" });
	simple_deed(&w)->status = 0;
	w.scripts[0].deeds[0].failure = REASON_upstream_reset;
	struct guest *g = world_guest(&w, 0, "GET", "/a");
	simple_finish(&w);
	assert_span(guest_reply_field(g, "x-team"), "search");
	assert_span(guest_reply_field(g, "server"), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_problem_json),
		cmocka_unit_test(test_full_detail),
		cmocka_unit_test(test_html),
		cmocka_unit_test(test_head_gets_the_length_and_no_body),
		cmocka_unit_test(test_retry_after_on_503),
		cmocka_unit_test(test_not_allowed_tells_what_is),
		cmocka_unit_test(test_response_headers_of_the_route),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
