/* test_otlp.c - an exchange that is over, as spans: what does not fit, what is not text, and requests without route, host or try. The plain
 * cases are tests/e2e/test_tracing.py's, against a collector. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../../src/app/trace_record.h"

struct scene {
	struct worker worker;
	struct conf_route route_conf;
	struct upstream upstream;
	struct endpoint endpoint;
	struct route route;
	struct attempt tried[ATTEMPTS_MAX];
	struct exchange ex;
	struct measured m;
	struct trace_record record;
	char out[65536];
};

static struct scene *scene_new(void)
{
	struct scene *s = calloc(1, sizeof(*s));
	assert_non_null(s);
	s->worker.wall_ms = 1795216324123;
	s->upstream.name = SPAN("orders");
	s->endpoint.name = SPAN("10.0.8.4:8080");
	s->route_conf.path = SPAN("/orders");
	s->route = (struct route){ .name = SPAN("shop"), .conf = &s->route_conf, .upstream = &s->upstream };
	s->ex = (struct exchange){
		.worker = &s->worker, .route = &s->route, .endpoint = &s->endpoint, .attempt = 1, .calling = 1, .client_address = SPAN("10.0.3.7"), .scheme = SPAN("http"),
		.request = { .method = METHOD_GET, .method_text = SPAN("GET"), .authority = SPAN("shop.example.com"), .path = SPAN("/orders/42"), .minor = 1 },
		.tried = s->tried, .upstream_status = 200,
		.timing = { .first_byte_us = 1000000, .start_us = 1000100, .call_us = 1000200, .call_end_us = 1040200, .reply_us = 1030200, .over_us = 1050000 },
	};
	memset(s->ex.trace.trace_id, 'a', sizeof(s->ex.trace.trace_id));
	memset(s->ex.trace.span_id, 'b', sizeof(s->ex.trace.span_id));
	s->m = (struct measured){ .status = 200, .duration_us = 50000, .first_byte_us = 30300, .replied = true };
	return s;
}

/* What the collector gets, as one text. */
static const char *told(struct scene *s)
{
	struct text out;
	struct json j;
	memset(&s->record, 0xff, sizeof(s->record));          /* rings are not cleared between two records */
	trace_record_fill(&s->record, &s->ex, &s->m);
	text_over(&out, s->out, sizeof(s->out) - 1);
	json_init(&j, &out);
	otlp_open(&j, SPAN("till"), SPAN("a1b2c3d4"));
	otlp_put(&j, &s->record);
	otlp_close(&j);
	assert_false(out.cut);
	assert_int_equal(j.depth, 0);
	s->out[out.len] = '\0';
	return s->out;
}

static unsigned count_of(const char *in, const char *what)
{
	unsigned n = 0;
	for (const char *at = in; (at = strstr(at, what)); at++)
		n++;
	return n;
}

static void expect(const char *in, const char *what)
{
	if (!strstr(in, what))
		fail_msg("no %s in %s", what, in);
}

#define TEXT(key, value) "{\"key\":\"" key "\",\"value\":{\"stringValue\":\"" value "\"}}"
#define INT(key, value) "{\"key\":\"" key "\",\"value\":{\"intValue\":\"" value "\"}}"

static void test_times(void **state)
{
	struct scene *s = scene_new();
	const char *json = told(s);
	(void)state;
	expect(json, "\"kind\":2,\"startTimeUnixNano\":\"1795216324073000000\",\"endTimeUnixNano\":\"1795216324123000000\"");
	expect(json, "\"kind\":3,\"startTimeUnixNano\":\"1795216324073200000\",\"endTimeUnixNano\":\"1795216324113200000\"");
	expect(json, "{\"key\":\"outrigger.ttfb_ms\",\"value\":{\"doubleValue\":30.000}}");
	expect(json, "\"parentSpanId\":\"bbbbbbbbbbbbbbbb\"");
	assert_int_equal(count_of(json, "\"parentSpanId\""), 1);
	expect(json, TEXT("url.full", "http://10.0.8.4:8080/orders/42"));
	expect(json, "\"events\":[],\"links\":[],\"status\":{}");
	free(s);
}

static void test_what_peers_send(void **state)
{
	struct scene *s = scene_new();
	static char path[5000];
	(void)state;
	memset(path, 'x', sizeof(path));
	memcpy(path, "/\"\\\n\xff", 5);
	s->ex.request.path = (struct span){ path, sizeof(path) };
	s->ex.request.authority = SPAN("[::1]:81");
	s->ex.request.method = METHOD_OTHER;
	s->ex.request.method_text = SPAN("PURGE\"EVERYTHING-AND-MORE");
	s->endpoint.name = SPAN("unix:/run/app.sock");
	const char *json = told(s);
	expect(json, "\"name\":\"_OTHER shop\"");
	expect(json, TEXT("http.request.method_original", "PURGE\\\"EVERYTHIN"));
	expect(json, "{\"key\":\"url.path\",\"value\":{\"stringValue\":\"/\\\"\\\\\\n\xef\xbf\xbdxxx");
	expect(json, INT("server.port", "81"));
	expect(json, TEXT("server.address", "/run/app.sock"));
	expect(json, "\"http://localhost/");
	assert_true(strlen(json) < 8192);
	free(s);
}

static void test_no_route_and_no_try(void **state)
{
	struct scene *s = scene_new();
	(void)state;
	s->route = (struct route){ .name = SPAN("none") };
	s->ex.endpoint = NULL;
	s->ex.attempt = s->ex.calling = 0;
	s->ex.request = (struct request){ .minor = 0 };
	s->ex.reason = REASON_request_invalid;
	s->ex.served_by = SERVED_BY_proxy;
	s->m = (struct measured){ .status = 400, .duration_us = 10, .replied = false };
	const char *json = told(s);
	assert_int_equal(count_of(json, "\"spanId\""), 1);
	expect(json, "\"name\":\"_OTHER none\"");
	expect(json, TEXT("error.type", "request_invalid"));
	expect(json, "\"name\":\"outrigger.refused\"");
	expect(json, "\"status\":{}");            /* the client's mistake is not the server's failure */
	free(s);
}

/* More tries than there is room for: the first ones, and the last one. */
static void test_many_tries(void **state)
{
	struct scene *s = scene_new();
	char id[16], wanted[64];
	(void)state;
	s->ex.attempt = s->ex.calling = ATTEMPTS_MAX;
	for (unsigned i = 0; i < ATTEMPTS_MAX - 1; i++)
		s->tried[s->ex.tried_count++] = (struct attempt){
			.number = i + 1, .endpoint = SPAN("10.0.8.3:8080"), .reason = REASON_connection_refused, .us = 10, .at_us = 1000200 + i * 20 };
	const char *json = told(s);
	assert_int_equal(count_of(json, "\"kind\":3"), TRACE_TRIES);
	assert_int_equal(count_of(json, TEXT("error.type", "connection_refused")), TRACE_TRIES - 1);
	expect(json, INT("http.request.resend_count", "15"));
	trace_try_id(&s->ex.trace, ATTEMPTS_MAX, id);
	snprintf(wanted, sizeof(wanted), "\"spanId\":\"%.16s\",\"parentSpanId\":\"bbbbbbbbbbbbbbbb\"", id);
	expect(json, wanted);
	free(s);
}

/* The try that was noted as failed is not told twice; one that was credited is told with its own times. */
static void test_which_try_is_the_last(void **state)
{
	struct scene *s = scene_new();
	(void)state;
	s->tried[s->ex.tried_count++] = (struct attempt){ .number = 1, .endpoint = SPAN("a:1"), .reason = REASON_upstream_reset, .us = 10, .at_us = 1000200 };
	s->ex.reason = REASON_circuit_open;
	assert_int_equal(count_of(told(s), "\"kind\":3"), 1);
	s->ex.tried_count = 0;
	s->ex.reason = REASON_NONE;
	s->ex.credited = (struct attempt){ .number = 2, .status = 201, .at_us = 1010000, .us = 0 };
	s->ex.link = (struct trace_link){ .set = false };
	expect(told(s), INT("http.response.status_code", "201"));
	expect(s->out, "\"kind\":3,\"startTimeUnixNano\":\"1795216324083000000\",\"endTimeUnixNano\":\"1795216324123000000\"");
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times), cmocka_unit_test(test_what_peers_send), cmocka_unit_test(test_no_route_and_no_try),
		cmocka_unit_test(test_many_tries), cmocka_unit_test(test_which_try_is_the_last),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
