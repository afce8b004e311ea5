/* test_forward.c - what a proxy changes: raw heads in, through the reader, forward_request or forward_reply, and the fields
 * that come out, in order. Also trace.c. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "http/forward.h"
#include "http/h1_read.h"

static struct arena arena;
static struct chunk_pool pool;
static struct rand dice;
static const struct h1_limits limits = { .max_header_bytes = 32768, .max_fields = 100, .max_target_bytes = 8192 };

static int begin(void **state)
{
	(void)state;
	arena_init(&arena, NULL, 1 << 20);
	chunk_pool_init(&pool);
	rand_seed(&dice, 42);
	return 0;
}

static int end(void **state)
{
	(void)state;
	arena_fini(&arena);
	chunk_pool_fini(&pool);
	return 0;
}

static struct request request_of(const char *fields)
{
	struct h1_reader r;
	struct request q;
	struct span in, data;
	struct text t;

	text_init(&t, 1 << 20);
	text_f(&t, "GET /a?b HTTP/1.1\r\nHost: shop.example\r\n%s\r\n", fields);
	h1_reader_init(&r, true, &limits, &pool);
	r.arena = &arena;
	r.request = &q;
	in = text_span(&t);
	if (h1_read(&r, &in, &data) != H1_HEAD)
		fail_msg("%s: %s", fields, h1_fault_text(r.fault));
	h1_reader_fini(&r);
	text_fini(&t);
	return q;
}

static struct reply reply_of(int status, const char *fields)
{
	struct h1_reader r;
	struct reply y;
	struct span in, data;
	struct text t;

	text_init(&t, 1 << 20);
	text_f(&t, "HTTP/1.1 %d X\r\n%s\r\n", status, fields);
	h1_reader_init(&r, false, &limits, &pool);
	r.arena = &arena;
	r.reply = &y;
	r.asked_upgrade = true;
	in = text_span(&t);
	if (h1_read(&r, &in, &data) != H1_HEAD)
		fail_msg("%s: %s", fields, h1_fault_text(r.fault));
	h1_reader_fini(&r);
	text_fini(&t);
	return y;
}

static struct trace trace_fixed(void)
{
	struct trace t = { .request_id = "id-1", .request_id_len = 4 };

	memcpy(t.trace_id, "0123456789abcdef0123456789abcdef", 32);
	memcpy(t.span_id, "fedcba9876543210", 16);
	return t;
}

static struct forward_facts facts_of(const struct request *q, struct trace *t)
{
	return (struct forward_facts){ .client_address = SPAN("192.0.2.1"), .scheme = SPAN("http"), .port = 8080,
		.authority = q->authority, .attempt = 1, .trace = t, .target = q->target };
}

static void said(struct text *t, const struct fields *f)
{
	for (unsigned i = 0; i < f->count; i++)
		text_f(t, SPAN_FMT ": " SPAN_FMT "\n", SPAN_ARG(f->at[i].name), SPAN_ARG(f->at[i].value));
}

static void check_fields(const struct fields *f, const char *expected, const char *of)
{
	struct text t;
	uint64_t present = 0;

	text_init(&t, 1 << 20);
	said(&t, f);
	if (!span_eq(text_span(&t), span_of(expected)))
		fail_msg("%s: got\n" SPAN_FMT "expected\n%s", of, SPAN_ARG(text_span(&t)), expected);
	for (unsigned i = 0; i < f->count; i++)
		present |= (UINT64_C(1) << f->at[i].id) & ~UINT64_C(1);
	assert_true(present == f->present);
	text_fini(&t);
}

#define OURS \
	"x-forwarded-for: 192.0.2.1\n" "x-forwarded-proto: http\n" "x-forwarded-host: shop.example\n" "x-forwarded-port: 8080\n"
#define TRACED \
	"x-request-id: id-1\n" "traceparent: 00-0123456789abcdef0123456789abcdef-4ef69b3c095f8fd1-00\n"
#define CLAIMS \
	"X-Forwarded-For: 10.0.0.1\r\n" "X-Forwarded-Proto: https\r\n" "X-Forwarded-Host: evil\r\n" "X-Forwarded-Port: 1\r\n" \
	"Forwarded: for=x\r\n"
#define TAIL OURS "via: 1.1 outrigger\n" TRACED

/* A stranger's request. */
static void fields_of_a_stranger(void **state)
{
	static const struct { const char *in, *out; } table[] = {
		{ "", TAIL },
		{ "Accept: x\r\nUser-Agent: y\r\n", "Accept: x\nUser-Agent: y\n" TAIL },
		{ "Connection: close\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nA: b\r\n", "A: b\n" TAIL },
		{ "Connection: x-foo, Cookie\r\nX-Foo: 1\r\nx-FOO: 2\r\nCookie: c\r\nA: b\r\n", "A: b\n" TAIL },
		{ "Connection: X-Foo\r\nConnection: x-bar\r\nX-Foo: 1\r\nX-Bar: 2\r\nX-Baz: 3\r\n", "X-Baz: 3\n" TAIL },
		{ "Connection: ,, close ,\r\nClose: no\r\n", "Close: no\n" TAIL },
		{ "Connection: x-request-id, via, traceparent, x-forwarded-for\r\nVia: 1.0 a\r\n", TAIL },
		{ "TE: gzip\r\nConnection: te\r\n", TAIL },
		{ "TE: gzip, trailers\r\nConnection: te\r\n", OURS "te: trailers\nvia: 1.1 outrigger\n" TRACED },
		{ "TE: Trailers\r\n", OURS "te: trailers\nvia: 1.1 outrigger\n" TRACED },
		{ "Trailer: x\r\nA: b\r\n", "Trailer: x\nA: b\n" TAIL },
		{ "Upgrade: websocket\r\nHTTP2-Settings: AA\r\nA: b\r\n", "A: b\n" TAIL },
		{ "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n", "Sec-WebSocket-Key: k\n" TAIL },
		{ CLAIMS, TAIL },
		{ "X-Outrigger-Attempt: 7\r\nA: b\r\n", "A: b\n" TAIL },
		{ "Via: 1.0 a, 1.1 b (c)\r\n", "Via: 1.0 a, 1.1 b (c)\n" TAIL },
		{ "X-Request-ID: theirs\r\ntraceparent: broken\r\ntracestate: a=b\r\n", TAIL },
		{ "x-request-timeout-ms: 5\r\ngrpc-timeout: 5m\r\n", "x-request-timeout-ms: 5\ngrpc-timeout: 5m\n" TAIL },
		{ "Expect: 100-continue\r\n", "Expect: 100-continue\n" TAIL },
		{ "Expect: 100-continue\r\nConnection: expect\r\n", TAIL },
		{ "CamelCase: Kept\r\ncamelcase: kept\r\n", "CamelCase: Kept\ncamelcase: kept\n" TAIL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct request q = request_of(table[i].in), out;
		struct fields before = q.fields;
		struct trace t = trace_fixed();
		struct forward_facts facts = facts_of(&q, &t);

		assert_true(forward_request(&out, &q, &facts, &arena));
		check_fields(&out.fields, table[i].out, table[i].in);
		assert_true(out.expect_continue == fields_have(&out.fields, FIELD_EXPECT));
		assert_true(span_eq(out.upgrade, q.upgrade));
		assert_true(q.fields.at == before.at && q.fields.count == before.count);
	}
}

/* The same from a proxy that we trust. */
static void fields_of_a_trusted_peer(void **state)
{
	static const struct { const char *in, *out; } table[] = {
		{ "", TAIL },
		{ CLAIMS,
		  "Forwarded: for=x\nx-forwarded-for: 10.0.0.1, 192.0.2.1\nx-forwarded-proto: https, http\n"
		  "x-forwarded-host: evil, shop.example\nx-forwarded-port: 1, 8080\nvia: 1.1 outrigger\n" TRACED },
		{ "X-Forwarded-For: a\r\nX-Forwarded-For:\r\nX-Forwarded-For: b, c\r\n",
		  "x-forwarded-for: a, b, c, 192.0.2.1\nx-forwarded-proto: http\nx-forwarded-host: shop.example\nx-forwarded-port: 8080\n"
		  "via: 1.1 outrigger\n" TRACED },
		{ "X-Outrigger-Attempt: 7\r\n", "X-Outrigger-Attempt: 7\n" TAIL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct request q = request_of(table[i].in), out;
		struct trace t = trace_fixed();
		struct forward_facts facts = facts_of(&q, &t);

		facts.client_trusted = true;
		assert_true(forward_request(&out, &q, &facts, &arena));
		check_fields(&out.fields, table[i].out, table[i].in);
	}
}

static void unix_socket_has_no_address(void **state)
{
	struct request q = request_of("X-Forwarded-For: 10.0.0.1\r\n"), out;
	struct trace t = trace_fixed();
	struct forward_facts facts = facts_of(&q, &t);

	(void)state;
	facts.client_address = SPAN_NONE;
	facts.port = 0;
	assert_true(forward_request(&out, &q, &facts, &arena));
	check_fields(&out.fields, "x-forwarded-proto: http\nx-forwarded-host: shop.example\nvia: 1.1 outrigger\n" TRACED, "stranger");
	facts.client_trusted = true;
	assert_true(forward_request(&out, &q, &facts, &arena));
	check_fields(&out.fields, "X-Forwarded-For: 10.0.0.1\nx-forwarded-proto: http\nx-forwarded-host: shop.example\n"
		"via: 1.1 outrigger\n" TRACED, "trusted");
}

static void second_attempt(void **state)
{
	struct request q = request_of("Expect: 100-continue\r\nX-Outrigger-Attempt: 1\r\nA: b\r\n"), out;
	struct trace t = trace_fixed();
	struct forward_facts facts = facts_of(&q, &t);
	struct span parent;

	(void)state;
	facts.attempt = 2;
	facts.client_trusted = true;
	assert_true(forward_request(&out, &q, &facts, &arena));
	assert_false(fields_have(&out.fields, FIELD_EXPECT));
	assert_false(out.expect_continue);
	assert_true(span_eq(fields_value(&out.fields, FIELD_X_OUTRIGGER_ATTEMPT), SPAN("2")));
	parent = fields_value(&out.fields, FIELD_TRACEPARENT);
	assert_int_equal(parent.len, 55);
	assert_memory_equal(parent.at, "00-0123456789abcdef0123456789abcdef-", 36);
	assert_memory_not_equal(parent.at + 36, "fedcba9876543210", 16);
	char first[16], second[16];
	trace_try_id(&t, 1, first);
	trace_try_id(&t, 2, second);
	assert_memory_equal(parent.at + 36, second, 16);
	assert_memory_not_equal(first, second, 16);
	assert_memory_equal(t.span_id, "fedcba9876543210", 16);           /* ours stays what it is */
	for (unsigned i = 0, n = 0; i < out.fields.count; i++) {
		n += out.fields.at[i].id == FIELD_X_OUTRIGGER_ATTEMPT;
		assert_true(n <= 1);
	}
}

static void deadlines(void **state)
{
	static const struct { enum field_id field; uint64_t ms; const char *in, *out; } table[] = {
		{ FIELD_X_REQUEST_TIMEOUT_MS, 1500, "x-request-timeout-ms: 5\r\n", "x-request-timeout-ms: 1500\n" },
		{ FIELD_X_REQUEST_TIMEOUT_MS, 0, "x-envoy-expected-rq-timeout-ms: 5\r\n", "x-request-timeout-ms: 0\n" },
		{ FIELD_X_ENVOY_TIMEOUT_MS, 7, "x-request-timeout-ms: 5\r\n", "x-envoy-expected-rq-timeout-ms: 7\n" },
		{ FIELD_X_REQUEST_TIMEOUT_MS, 1500, "grpc-timeout: 5S\r\n", "grpc-timeout: 1500m\nx-request-timeout-ms: 1500\n" },
		{ FIELD_GRPC_TIMEOUT, 1500, "A: b\r\n", "grpc-timeout: 1500m\n" },
		{ FIELD_GRPC_TIMEOUT, 99999999, "", "grpc-timeout: 99999999m\n" },
		{ FIELD_GRPC_TIMEOUT, 100000000, "", "grpc-timeout: 100000S\n" },
		{ FIELD_GRPC_TIMEOUT, UINT64_MAX, "", "grpc-timeout: 99999999S\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct request q = request_of(table[i].in), out;
		struct trace t = trace_fixed();
		struct forward_facts facts = facts_of(&q, &t);
		struct fields tail;

		facts.timeout_field = table[i].field;
		facts.timeout_ms = table[i].ms;
		assert_true(forward_request(&out, &q, &facts, &arena));
		tail = out.fields;
		while (tail.count && tail.at[0].id != FIELD_TRACEPARENT) {
			assert_true(tail.at[0].id != FIELD_GRPC_TIMEOUT && tail.at[0].id != FIELD_X_REQUEST_TIMEOUT_MS &&
				tail.at[0].id != FIELD_X_ENVOY_TIMEOUT_MS);
			tail.at++;
			tail.count--;
		}
		tail.at++;
		tail.count--;
		tail.present = 0;
		for (unsigned k = 0; k < tail.count; k++)
			tail.present |= UINT64_C(1) << tail.at[k].id;
		check_fields(&tail, table[i].out, table[i].in);
	}
}

static void operator_has_the_last_word(void **state)
{
	static const struct span remove[] = { { "X-Debug", 7 }, { "via", 3 }, { "user-agent", 10 } };
	struct request q = request_of("X-Debug: 1\r\nUser-Agent: u\r\nX-Team: theirs\r\nx-team: too\r\nAccept: a\r\n"), out;
	struct trace t = trace_fixed();
	struct forward_facts facts = facts_of(&q, &t);
	struct fields set;

	(void)state;
	assert_true(fields_init(&set, &arena, 6));
	assert_true(fields_add(&set, SPAN("x-team"), SPAN("search")));
	assert_true(fields_add(&set, SPAN("Accept"), SPAN("b")));
	assert_true(fields_add(&set, SPAN("content-length"), SPAN("9")));
	assert_true(fields_add(&set, SPAN("Connection"), SPAN("close")));
	assert_true(fields_add(&set, SPAN("Host"), SPAN("other.example")));
	assert_true(fields_add(&set, SPAN("x-forwarded-proto"), SPAN("https")));
	facts.set = &set;
	facts.remove = remove;
	facts.remove_count = 3;
	assert_true(forward_request(&out, &q, &facts, &arena));
	check_fields(&out.fields, "x-forwarded-for: 192.0.2.1\nx-forwarded-host: shop.example\nx-forwarded-port: 8080\n" TRACED
		"x-team: search\nAccept: b\nx-forwarded-proto: https\n", "set and remove");
	assert_true(span_eq(out.authority, SPAN("other.example")));
}

/* Whatever Connection names: a policy's field is not the client's to take away. The operator's wish comes after it. */
static void policies_have_a_word_too(void **state)
{
	static const struct span remove[] = { { "x-role", 6 } };
	struct request q = request_of("X-User: root\r\nConnection: x-user, x-role, close\r\nAccept: a\r\n"), out;
	struct trace t = trace_fixed();
	struct forward_facts facts = facts_of(&q, &t);
	struct fields own;

	(void)state;
	assert_true(fields_init(&own, &arena, 3));
	assert_true(fields_add(&own, SPAN("x-user"), SPAN("ann")));
	assert_true(fields_add(&own, SPAN("x-role"), SPAN("admin")));
	facts.own = &own;
	facts.remove = remove;
	facts.remove_count = 1;
	assert_true(forward_request(&out, &q, &facts, &arena));
	check_fields(&out.fields, "Accept: a\nx-forwarded-for: 192.0.2.1\nx-forwarded-proto: http\nx-forwarded-host: shop.example\nx-forwarded-port: 8080\nvia: 1.1 outrigger\n" TRACED
		"x-user: ann\n", "own");
}

static void target_and_authority_are_the_callers(void **state)
{
	struct request q = request_of(""), out;
	struct trace t = trace_fixed();
	struct forward_facts facts = facts_of(&q, &t);

	(void)state;
	facts.target = SPAN("/rewritten");
	facts.authority = SPAN("10.0.0.9:80");
	q.minor = 0;
	assert_true(forward_request(&out, &q, &facts, &arena));
	assert_true(span_eq(out.target, SPAN("/rewritten")) && span_eq(out.authority, SPAN("10.0.0.9:80")));
	assert_true(span_eq(fields_value(&out.fields, FIELD_X_FORWARDED_HOST), SPAN("shop.example")));
	assert_true(span_eq(fields_value(&out.fields, FIELD_VIA), SPAN("1.0 outrigger")));
}

static void no_memory(void **state)
{
	struct request q = request_of("X-Forwarded-For: a\r\nConnection: x-b\r\nX-B: c\r\n"), out;
	struct reply y;
	struct trace t = trace_fixed();
	struct forward_facts facts = facts_of(&q, &t);
	bool passed = false, refused = false;

	(void)state;
	facts.client_trusted = true;
	for (size_t max = 0; !passed; max += 64) {
		struct arena small;

		arena_init(&small, NULL, max);
		passed = forward_request(&out, &q, &facts, &small);
		refused = refused || !passed;
		arena_fini(&small);
		assert_true(max < 8192);
	}
	assert_true(refused);
	y = reply_of(200, "Connection: x-b\r\nX-B: c\r\nContent-Length: 0\r\n");
	for (size_t max = 0; max <= 2048; max += 64) {
		struct arena small;
		struct reply copy = y;

		arena_init(&small, NULL, max);
		assert_int_equal(forward_reply(&copy, &t, NULL, NULL, 0, &small), max >= (y.fields.count + 1) * sizeof *y.fields.at);
		arena_fini(&small);
	}
}

static void replies(void **state)
{
	static const struct { int status; const char *in, *out; } table[] = {
		{ 200, "Content-Length: 0\r\nServer: s\r\n", "Server: s\nx-request-id: id-1\n" },
		{ 200, "Connection: close\r\nKeep-Alive: x\r\nProxy-Connection: y\r\nUpgrade: h2c\r\nA: b\r\n", "A: b\nx-request-id: id-1\n" },
		{ 200, "Connection: x-foo, server\r\nX-Foo: 1\r\nServer: s\r\nX-Bar: 2\r\n", "X-Bar: 2\nx-request-id: id-1\n" },
		{ 200, "X-Request-ID: theirs\r\nx-request-id: again\r\n", "x-request-id: id-1\n" },
		{ 200, "Host: h\r\nTE: x\r\nTrailer: t\r\n", "Trailer: t\nx-request-id: id-1\n" },
		{ 200, "Set-Cookie: a\r\nSet-Cookie: b\r\n", "Set-Cookie: a\nSet-Cookie: b\nx-request-id: id-1\n" },
		{ 101, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n",
		  "Upgrade: websocket\nSec-WebSocket-Accept: x\nx-request-id: id-1\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct reply y = reply_of(table[i].status, table[i].in);
		struct trace t = trace_fixed();

		assert_true(forward_reply(&y, &t, NULL, NULL, 0, &arena));
		check_fields(&y.fields, table[i].out, table[i].in);
	}
}

static void replies_edited(void **state)
{
	static const struct span remove[] = { { "server", 6 }, { "x-request-id", 12 } };
	struct reply y = reply_of(200, "Server: s\r\nCache-Control: public\r\nA: b\r\n");
	struct trace t = trace_fixed();
	struct fields set;

	(void)state;
	assert_true(fields_init(&set, &arena, 40));
	assert_true(fields_add(&set, SPAN("cache-control"), SPAN("no-store")));
	assert_true(fields_add(&set, SPAN("Transfer-Encoding"), SPAN("gzip")));
	for (int i = 0; i < 30; i++) {
		char *name = arena_text(&arena, 4);

		memcpy(name, (char[]){ 'x', '-', (char)('a' + i % 26), (char)('a' + i / 26) }, 4);
		assert_true(fields_add(&set, (struct span){ name, 4 }, SPAN("v")));
	}
	assert_true(forward_reply(&y, &t, &set, remove, 2, &arena));
	assert_int_equal(y.fields.count, 32);
	assert_true(span_eq(y.fields.at[0].name, SPAN("A")));
	assert_true(span_eq(fields_value(&y.fields, FIELD_CACHE_CONTROL), SPAN("no-store")));
	assert_false(fields_have(&y.fields, FIELD_SERVER) || fields_have(&y.fields, FIELD_TRANSFER_ENCODING));
}

static void timeouts(void **state)
{
	static const struct { enum field_id id; const char *value; bool good; uint64_t us; } table[] = {
		{ FIELD_GRPC_TIMEOUT, "1H", true, 3600000000 },
		{ FIELD_GRPC_TIMEOUT, "2M", true, 120000000 },
		{ FIELD_GRPC_TIMEOUT, "3S", true, 3000000 },
		{ FIELD_GRPC_TIMEOUT, "99999999H", true, UINT64_C(99999999) * 3600000000 },
		{ FIELD_GRPC_TIMEOUT, "150m", true, 150000 },
		{ FIELD_GRPC_TIMEOUT, "7u", true, 7 },
		{ FIELD_GRPC_TIMEOUT, "1n", true, 1 },
		{ FIELD_GRPC_TIMEOUT, "0m", true, 0 },
		{ FIELD_GRPC_TIMEOUT, "", false, 0 },
		{ FIELD_GRPC_TIMEOUT, "m", false, 0 },
		{ FIELD_GRPC_TIMEOUT, "5", false, 0 },
		{ FIELD_GRPC_TIMEOUT, "5s", false, 0 },
		{ FIELD_GRPC_TIMEOUT, "1.5S", false, 0 },
		{ FIELD_GRPC_TIMEOUT, "-1S", false, 0 },
		{ FIELD_GRPC_TIMEOUT, "100000000m", false, 0 },
		{ FIELD_GRPC_TIMEOUT, "5 m", false, 0 },
		{ FIELD_X_REQUEST_TIMEOUT_MS, "1500", true, 1500000 },
		{ FIELD_X_REQUEST_TIMEOUT_MS, "0", true, 0 },
		{ FIELD_X_ENVOY_TIMEOUT_MS, "15", true, 15000 },
		{ FIELD_X_REQUEST_TIMEOUT_MS, "", false, 0 },
		{ FIELD_X_REQUEST_TIMEOUT_MS, "1.5", false, 0 },
		{ FIELD_X_REQUEST_TIMEOUT_MS, "15ms", false, 0 },
		{ FIELD_X_REQUEST_TIMEOUT_MS, "18446744073709551", true, UINT64_C(18446744073709551000) },
		{ FIELD_X_REQUEST_TIMEOUT_MS, "18446744073709552", false, 0 },
		{ FIELD_X_REQUEST_TIMEOUT_MS, "99999999999999999999999", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		uint64_t us = 12345;
		bool good = forward_read_timeout(table[i].id, span_of(table[i].value), &us);

		if (good != table[i].good || us != (good ? table[i].us : 12345))
			fail_msg("'%s': %d, %llu", table[i].value, good, (unsigned long long)us);
	}
}

static bool is_hex(const char *at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!char_is_digit(at[i]) && (at[i] < 'a' || at[i] > 'f'))
			return false;
	return true;
}

static void request_ids(void **state)
{
	static const struct { const char *id; bool kept; } table[] = {
		{ "abc", true }, { "A-z_0.9", true }, { "", false }, { "a b", false }, { "a/b", false }, { "a~b", false },
		{ "\xc3\xa4", false }, { "a\"b", false }, { "a,b", false },
	};
	char long_id[200];

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct request q = request_of("");
		struct trace t;

		assert_true(fields_add_id(&q.fields, FIELD_X_REQUEST_ID, span_of(table[i].id)));
		trace_begin(&t, &q, &dice, 1700000000000);
		assert_int_equal(span_eq((struct span){ t.request_id, t.request_id_len }, span_of(table[i].id)), table[i].kept);
		assert_true(table[i].kept || t.request_id_len == 36);
	}
	memset(long_id, 'x', sizeof long_id);
	for (unsigned n = 127; n < 131; n++) {
		struct request q = request_of("");
		struct trace t;

		assert_true(fields_add_id(&q.fields, FIELD_X_REQUEST_ID, (struct span){ long_id, n }));
		trace_begin(&t, &q, &dice, 1700000000000);
		assert_int_equal(t.request_id_len, n <= 128 ? n : 36);
	}
}

static void uuids(void **state)
{
	char a[36], b[36];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		uuid7_write(a, &dice, 0x0123456789ab);
		uuid7_write(b, &dice, 0x0123456789ac);
		assert_memory_equal(a, "01234567-89ab-7", 15);
		assert_memory_equal(b, "01234567-89ac-7", 15);
		assert_true(a[18] == '-' && a[23] == '-' && strchr("89ab", a[19]));
		assert_true(is_hex(a, 8) && is_hex(a + 9, 4) && is_hex(a + 14, 4) && is_hex(a + 19, 4) && is_hex(a + 24, 12));
		assert_memory_not_equal(a + 24, b + 24, 12);
	}
}

static void traces(void **state)
{
	static const char good[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
	static const struct { const char *value; bool continued, sampled; } table[] = {
		{ good, true, true },
		{ "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", true, false },
		{ "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03", true, true },
		{ "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false, false },
		{ "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false, false },
		{ "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false, false },
		{ "00-4bf92f3577b34da6a3ce929d0e0e4736-00F067aa0ba902b7-01", false, false },
		{ "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0A", false, false },
		{ "00-00000000000000000000000000000000-00f067aa0ba902b7-01", false, false },
		{ "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false, false },
		{ "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01", false, false },
		{ "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1", false, false },
		{ "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x", false, false },
		{ "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0001", false, false },
		{ "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false, false },
		{ "00-4bf92f3577b34da6a3ce929d0e0e4736.00f067aa0ba902b7-01", false, false },
		{ "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7.01", false, false },
		{ "", false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct request q = request_of("tracestate: a=b\r\n"), out;
		struct trace t;
		struct forward_facts facts;

		assert_true(fields_add_id(&q.fields, FIELD_TRACEPARENT, span_of(table[i].value)));
		trace_begin(&t, &q, &dice, 1700000000000);
		if (t.continued != table[i].continued || t.sampled != table[i].sampled)
			fail_msg("'%s': continued %d sampled %d", table[i].value, t.continued, t.sampled);
		assert_true(is_hex(t.trace_id, 32) && is_hex(t.span_id, 16));
		assert_int_equal(memcmp(t.trace_id, good + 3, 32) == 0, t.continued);
		assert_int_equal(memcmp(t.caller_id, good + 36, 16) == 0, t.continued);
		assert_memory_not_equal(t.span_id, good + 36, 16);
		facts = facts_of(&q, &t);
		assert_true(forward_request(&out, &q, &facts, &arena));
		assert_int_equal(fields_have(&out.fields, FIELD_TRACESTATE), t.continued);
		assert_memory_equal(fields_value(&out.fields, FIELD_TRACEPARENT).at + 3, t.trace_id, 32);
		assert_memory_equal(fields_value(&out.fields, FIELD_TRACEPARENT).at + 52, t.sampled ? "-01" : "-00", 3);
	}
}

static void two_traceparents_are_none(void **state)
{
	struct request q = request_of("traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
		"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n");
	struct trace t;

	(void)state;
	trace_begin(&t, &q, &dice, 1);
	assert_false(t.continued);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_of_a_stranger), cmocka_unit_test(fields_of_a_trusted_peer),
		cmocka_unit_test(unix_socket_has_no_address), cmocka_unit_test(second_attempt), cmocka_unit_test(deadlines),
		cmocka_unit_test(operator_has_the_last_word), cmocka_unit_test(policies_have_a_word_too),
		cmocka_unit_test(target_and_authority_are_the_callers), cmocka_unit_test(no_memory),
		cmocka_unit_test(replies), cmocka_unit_test(replies_edited), cmocka_unit_test(timeouts), cmocka_unit_test(request_ids),
		cmocka_unit_test(uuids), cmocka_unit_test(traces), cmocka_unit_test(two_traceparents_are_none),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
