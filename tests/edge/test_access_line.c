/* test_access_line.c - the four forms of a line, to the letter; and that nothing a peer sends can break out of its field. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "app/access_line.h"

struct scene {
	struct worker worker;
	struct conf_upstream conf;
	struct upstream upstream;
	struct endpoint endpoint;
	struct conf snapshot;
	struct router router;
	struct route route;
	struct attempt tried[2];
	struct exchange ex;
	struct measured m;
	struct access_clock clock;
	char out[ACCESS_LINE_MAX];
};

/* GET shop.example.com/orders/42, taken by upstream orders, 2026-11-20T23:12:04.123Z */
static void set_scene(struct scene *s)
{
	memset(s, 0, sizeof(*s));
	s->worker.wall_ms = 1795216324123;
	s->upstream = (struct upstream){ .name = SPAN("orders") };
	s->endpoint.name = SPAN("10.0.8.4:8080");
	s->snapshot.tracing.service = SPAN("shop-proxy");
	s->router.conf = &s->snapshot;
	s->route = (struct route){ .name = SPAN("shop"), .upstream = &s->upstream, .router = &s->router };
	s->ex = (struct exchange){
		.worker = &s->worker, .route = &s->route, .endpoint = &s->endpoint, .attempt = 1, .client_address = SPAN("10.0.3.7"),
		.request = { .method = METHOD_GET, .method_text = SPAN("GET"), .authority = SPAN("shop.example.com"), .path = SPAN("/orders/42"),
			.query = SPAN("token=secret"), .target = SPAN("/orders/42?token=secret"), .minor = 1 },
		.served_by = SERVED_BY_upstream, .tried = s->tried,
	};
	memcpy(s->ex.trace.request_id, "id-1", 4);
	s->ex.trace.request_id_len = 4;
	memset(s->ex.trace.trace_id, 'a', sizeof(s->ex.trace.trace_id));
	memset(s->ex.trace.span_id, 'b', sizeof(s->ex.trace.span_id));
	s->m = (struct measured){ .status = 200, .duration_us = 48213, .first_byte_us = 45900, .overhead_us = 30, .bytes_out = 1834, .replied = true };
}

static void expect(struct scene *s, access_line *line, const char *want)
{
	size_t n = line(s->out, &s->clock, &s->ex, &s->m);
	assert_true(n < sizeof(s->out));
	s->out[n] = '\0';
	assert_string_equal(s->out, want);
}
static void expect_json(struct scene *s, const char *want) { expect(s, access_line_json, want); }
static void expect_text(struct scene *s, const char *want) { expect(s, access_line_text, want); }

#define HEAD "{\"time\":\"2026-11-20T23:12:04.123Z\",\"level\":\"info\",\"event\":\"request\",\"request_id\":\"id-1\"," \
	"\"trace_id\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"span_id\":\"bbbbbbbbbbbbbbbb\",\"client\":\"10.0.3.7\","

static void test_plain(void **state)
{
	struct scene s;
	(void)state;
	set_scene(&s);
	expect_json(&s, HEAD "\"method\":\"GET\",\"host\":\"shop.example.com\",\"path\":\"/orders/42\",\"protocol\":\"HTTP/1.1\",\"route\":\"shop\","
		"\"upstream\":\"orders\",\"endpoint\":\"10.0.8.4:8080\",\"status\":200,\"served_by\":\"upstream\",\"attempts\":1,"
		"\"duration_ms\":48.213,\"queue_ms\":0,\"connect_ms\":0,\"ttfb_ms\":45.9,\"overhead_ms\":0.03,\"bytes_in\":0,\"bytes_out\":1834}\n");
	expect_text(&s, "23:12:04.123 GET 200 48ms shop.example.com/orders/42 → orders 10.0.8.4:8080\n");
}

static void test_retried(void **state)
{
	struct scene s;
	(void)state;
	set_scene(&s);
	s.tried[0] = (struct attempt){ .endpoint = SPAN("10.0.8.3:8080"), .reason = REASON_connection_refused, .us = 400 };
	s.tried[1] = (struct attempt){ .endpoint = SPAN("10.0.8.5:8080"), .status = 503, .us = 12000 };
	s.ex.tried_count = 2;
	s.ex.attempt = 3;
	s.ex.timing.queue_us = 1500;
	s.ex.timing.connect_us = 600;
	expect_json(&s, HEAD "\"method\":\"GET\",\"host\":\"shop.example.com\",\"path\":\"/orders/42\",\"protocol\":\"HTTP/1.1\",\"route\":\"shop\","
		"\"upstream\":\"orders\",\"endpoint\":\"10.0.8.4:8080\",\"status\":200,\"served_by\":\"upstream\",\"attempts\":3,"
		"\"tried\":[{\"endpoint\":\"10.0.8.3:8080\",\"reason\":\"connection_refused\",\"ms\":0.4},"
		"{\"endpoint\":\"10.0.8.5:8080\",\"status\":503,\"ms\":12}],"
		"\"duration_ms\":48.213,\"queue_ms\":1.5,\"connect_ms\":0.6,\"ttfb_ms\":45.9,\"overhead_ms\":0.03,\"bytes_in\":0,\"bytes_out\":1834}\n");
	expect_text(&s, "23:12:04.123 GET 200 48ms shop.example.com/orders/42 → orders 10.0.8.4:8080 "
		"(3rd try; 10.0.8.3:8080 refused, 10.0.8.5:8080 503)\n");
}

static void test_refused(void **state)
{
	struct scene s;
	(void)state;
	set_scene(&s);
	s.route = (struct route){ .name = SPAN("none") };
	s.ex.endpoint = NULL;
	s.ex.attempt = 0;
	s.ex.reason = REASON_route_not_found;
	s.ex.served_by = SERVED_BY_proxy;
	s.m = (struct measured){ .status = 404, .duration_us = 350, .replied = false };
	expect_json(&s, HEAD "\"method\":\"GET\",\"host\":\"shop.example.com\",\"path\":\"/orders/42\",\"protocol\":\"HTTP/1.1\",\"route\":\"none\","
		"\"status\":404,\"reason\":\"route_not_found\",\"served_by\":\"proxy\",\"attempts\":0,"
		"\"duration_ms\":0.35,\"queue_ms\":0,\"connect_ms\":0,\"bytes_in\":0,\"bytes_out\":0}\n");
	expect_text(&s, "23:12:04.123 GET 404 0.4ms shop.example.com/orders/42 → none route_not_found\n");
}

/* A head that could not be read leaves no method, host and path. */
static void test_unreadable(void **state)
{
	struct scene s;
	(void)state;
	set_scene(&s);
	s.route = (struct route){ .name = SPAN("none") };
	s.ex.endpoint = NULL;
	s.ex.request = (struct request){ .minor = 0 };
	s.ex.attempt = 0;
	s.ex.reason = REASON_request_invalid;
	s.ex.served_by = SERVED_BY_proxy;
	s.m = (struct measured){ .status = 400, .duration_us = 0, .replied = true };
	expect_text(&s, "23:12:04.123 - 400 0.0ms - → none request_invalid\n");
	expect_json(&s, HEAD "\"method\":\"\",\"host\":\"\",\"path\":\"\",\"protocol\":\"HTTP/1.0\",\"route\":\"none\","
		"\"status\":400,\"reason\":\"request_invalid\",\"served_by\":\"proxy\",\"attempts\":0,"
		"\"duration_ms\":0,\"queue_ms\":0,\"connect_ms\":0,\"ttfb_ms\":0,\"overhead_ms\":0,\"bytes_in\":0,\"bytes_out\":0}\n");
}

static void test_escapes(void **state)
{
	struct scene s;
	(void)state;
	set_scene(&s);
	s.ex.request.path = SPAN("/a\"b\\c\x1b[2J\n\xff\xc3\xa9");
	s.ex.request.authority = SPAN("h\",\"status\":500,\"x\":\"");
	size_t n = access_line_json(s.out, &s.clock, &s.ex, &s.m);
	s.out[n] = '\0';
	assert_non_null(strstr(s.out, "\"path\":\"/a\\\"b\\\\c\\u001b[2J\\n\xef\xbf\xbd\xc3\xa9\","));
	assert_non_null(strstr(s.out, "\"host\":\"h\\\",\\\"status\\\":500,\\\"x\\\":\\\"\","));
	n = access_line_text(s.out, &s.clock, &s.ex, &s.m);
	for (size_t i = 0; i + 1 < n; i++)
		assert_true((unsigned char)s.out[i] >= ' ');
}

/* The worst that can come: every field at its limit and every byte of it escaped. It must fit, or be refused whole. */
static void test_longest(void **state)
{
	static char bad[16384];
	struct scene s;
	size_t n;
	(void)state;
	set_scene(&s);
	memset(bad, '\x01', sizeof(bad));
	s.ex.request.path = s.ex.request.authority = s.ex.request.method_text = (struct span){ bad, sizeof(bad) };
	n = access_line_json(s.out, &s.clock, &s.ex, &s.m);
	assert_in_range(n, 2048 * 6 + 2 * 256 * 6, ACCESS_LINE_MAX);
	assert_int_equal(s.out[n - 1], '\n');
	struct attempt many[ATTEMPTS_MAX];
	for (unsigned i = 0; i < ATTEMPTS_MAX; i++)
		many[i] = (struct attempt){ .endpoint = { bad, sizeof(bad) }, .reason = REASON_upstream_reset };
	s.ex.tried = many;
	s.ex.tried_count = ATTEMPTS_MAX;
	assert_int_equal(access_line_json(s.out, &s.clock, &s.ex, &s.m), 0);
}

static void test_clock_moves(void **state)
{
	struct scene s;
	(void)state;
	set_scene(&s);
	expect_text(&s, "23:12:04.123 GET 200 48ms shop.example.com/orders/42 → orders 10.0.8.4:8080\n");
	s.worker.wall_ms += 877;
	expect_text(&s, "23:12:05.000 GET 200 48ms shop.example.com/orders/42 → orders 10.0.8.4:8080\n");
	s.worker.wall_ms = 1798761600007;         /* 2027-01-01 */
	s.m.duration_us = 61400000;
	expect_text(&s, "00:00:00.007 GET 200 61s shop.example.com/orders/42 → orders 10.0.8.4:8080\n");
	access_line_json(s.out, &s.clock, &s.ex, &s.m);
	assert_memory_equal(s.out, "{\"time\":\"2027-01-01T00:00:00.007Z\"", 34);
}

static struct field fields[] = {
	{ SPAN("referer"), SPAN("https://shop.example.com/cart?token=secret"), FIELD_OTHER },
	{ SPAN("user-agent"), SPAN("curl/7.88 \"x\""), FIELD_USER_AGENT },
};

static void test_clf(void **state)
{
	struct scene s;
	(void)state;
	set_scene(&s);
	expect(&s, access_line_clf, "10.0.3.7 - - [20/Nov/2026:23:12:04 +0000] \"GET /orders/42 HTTP/1.1\" 200 1834 \"-\" \"-\"\n");
	s.ex.request.fields = (struct fields){ .at = fields, .count = 2, .size = 2, .present = UINT64_C(1) << FIELD_USER_AGENT };
	s.worker.wall_ms = 1767225600000;         /* 2026-01-01 */
	expect(&s, access_line_clf, "10.0.3.7 - - [01/Jan/2026:00:00:00 +0000] \"GET /orders/42 HTTP/1.1\" 200 1834 "
		"\"https://shop.example.com/cart\" \"curl/7.88 \\\"x\\\"\"\n");
	s.ex.request = (struct request){ .minor = 0 };
	s.ex.client_address = SPAN_NONE;
	s.m = (struct measured){ .status = 400 };
	expect(&s, access_line_clf, "- - - [01/Jan/2026:00:00:00 +0000] \"- - HTTP/1.0\" 400 0 \"-\" \"-\"\n");
}

#define TEXT(key, value) ",{\"key\":\"" key "\",\"value\":{\"stringValue\":\"" value "\"}}"
#define INT(key, value) ",{\"key\":\"" key "\",\"value\":{\"intValue\":\"" value "\"}}"
#define REAL(key, value) ",{\"key\":\"" key "\",\"value\":{\"doubleValue\":" value "}}"
#define OTEL_HEAD(flags) "{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"shop-proxy\"}}]}," \
	"\"scopeLogs\":[{\"scope\":{\"name\":\"outrigger\"},\"logRecords\":[{\"timeUnixNano\":\"1795216324123000000\",\"severityNumber\":9," \
	"\"severityText\":\"INFO\",\"body\":{\"stringValue\":\"request\"},\"traceId\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"," \
	"\"spanId\":\"bbbbbbbbbbbbbbbb\",\"flags\":" flags ",\"attributes\":[{\"key\":\"http.request.method\",\"value\":{\"stringValue\":\""

static void test_otel(void **state)
{
	struct scene s;
	(void)state;
	set_scene(&s);
	s.ex.scheme = SPAN("http");
	s.ex.request.authority = SPAN("shop.example.com:81");
	s.ex.attempt = 2;
	s.ex.trace.sampled = true;
	expect(&s, access_line_otel, OTEL_HEAD("1") "GET\"}}" TEXT("url.scheme", "http") TEXT("url.path", "/orders/42")
		TEXT("server.address", "shop.example.com") INT("server.port", "81") TEXT("client.address", "10.0.3.7")
		TEXT("network.protocol.version", "1.1") INT("http.request.body.size", "0") INT("http.response.status_code", "200")
		INT("http.response.body.size", "1834") INT("http.request.resend_count", "1") TEXT("outrigger.request_id", "id-1")
		TEXT("outrigger.route", "shop") TEXT("outrigger.upstream", "orders") TEXT("outrigger.endpoint", "10.0.8.4:8080")
		TEXT("outrigger.served_by", "upstream") REAL("outrigger.duration_ms", "48.213") REAL("outrigger.queue_ms", "0")
		REAL("outrigger.ttfb_ms", "45.9") REAL("outrigger.overhead_ms", "0.03") "]}]}]}]}\n");
	s.route = (struct route){ .name = SPAN("none"), .router = &s.router };
	s.ex.endpoint = NULL;
	s.ex.request = (struct request){ .minor = 0, .method_text = SPAN("B\"AD") };
	s.ex.attempt = 0;
	s.ex.reason = REASON_request_invalid;
	s.ex.served_by = SERVED_BY_proxy;
	s.ex.trace.sampled = false;
	s.m = (struct measured){ .status = 400 };
	expect(&s, access_line_otel, OTEL_HEAD("0") "_OTHER\"}}" TEXT("http.request.method_original", "B\\\"AD") TEXT("url.scheme", "http")
		TEXT("client.address", "10.0.3.7") TEXT("network.protocol.version", "1.0") INT("http.request.body.size", "0")
		INT("http.response.status_code", "400") INT("http.response.body.size", "0") TEXT("error.type", "request_invalid")
		TEXT("outrigger.request_id", "id-1") TEXT("outrigger.route", "none") TEXT("outrigger.served_by", "proxy")
		REAL("outrigger.duration_ms", "0") REAL("outrigger.queue_ms", "0") "]}]}]}]}\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain), cmocka_unit_test(test_retried), cmocka_unit_test(test_refused), cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_escapes), cmocka_unit_test(test_longest), cmocka_unit_test(test_clock_moves),
		cmocka_unit_test(test_clf), cmocka_unit_test(test_otel),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
