/* test_h1_write.c - heads and chunk framing, byte for byte. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "http/h1_write.h"

static struct arena arena;

static int begin(void **state)
{
	(void)state;
	arena_init(&arena, NULL, 1 << 20);
	return 0;
}

static int end(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

static struct fields fields_of(const char *const *pairs)
{
	struct fields f;

	assert_true(fields_init(&f, &arena, 16));
	for (; *pairs; pairs += 2)
		assert_true(fields_add(&f, span_of(pairs[0]), span_of(pairs[1])));
	return f;
}
#define FIELDS(...) fields_of((const char *const[]){ __VA_ARGS__ __VA_OPT__(,) NULL })

/* Writes into exactly as much memory as was announced. */
static void check_request(const struct request *r, enum h1_connection connection, const char *expected)
{
	size_t size = h1_request_size(r), n;
	char *out = malloc(size);

	assert_non_null(out);
	n = h1_write_request(out, r, connection);
	assert_true(n <= size);
	if (!span_eq((struct span){ out, n }, span_of(expected)))
		fail_msg("got\n%.*s\nexpected\n%s", (int)n, out, expected);
	free(out);
}

static void check_reply(const struct reply *r, const struct request *to, enum h1_connection connection, const char *expected)
{
	size_t size = h1_reply_size(r), n;
	char *out = malloc(size);

	assert_non_null(out);
	n = to ? h1_write_reply(out, r, to, connection) : h1_write_informational(out, r);
	assert_true(n <= size);
	if (!span_eq((struct span){ out, n }, span_of(expected)))
		fail_msg("got\n%.*s\nexpected\n%s", (int)n, out, expected);
	free(out);
}

static void requests(void **state)
{
	struct request r = { .method_text = SPAN("GET"), .target = SPAN("/a?b"), .authority = SPAN("h:1"), .minor = 0 };

	(void)state;
	r.fields = FIELDS("A", "b", "Empty", "");
	check_request(&r, H1_KEEP_ALIVE, "GET /a?b HTTP/1.1\r\nhost: h:1\r\nA: b\r\nEmpty: \r\n\r\n");
	check_request(&r, H1_CLOSE, "GET /a?b HTTP/1.1\r\nhost: h:1\r\nA: b\r\nEmpty: \r\nconnection: close\r\n\r\n");
	r.framing = BODY_LENGTH;
	check_request(&r, H1_KEEP_ALIVE, "GET /a?b HTTP/1.1\r\nhost: h:1\r\nA: b\r\nEmpty: \r\ncontent-length: 0\r\n\r\n");
	r.content_length = INT64_MAX;
	check_request(&r, H1_KEEP_ALIVE,
		"GET /a?b HTTP/1.1\r\nhost: h:1\r\nA: b\r\nEmpty: \r\ncontent-length: 9223372036854775807\r\n\r\n");
	r.framing = BODY_STREAM;
	check_request(&r, H1_KEEP_ALIVE, "GET /a?b HTTP/1.1\r\nhost: h:1\r\nA: b\r\nEmpty: \r\ntransfer-encoding: chunked\r\n\r\n");
}

static void request_connection_options(void **state)
{
	struct request r = { .method_text = SPAN("GET"), .target = SPAN("/"), .authority = SPAN("h"), .upgrade = SPAN("websocket") };

	(void)state;
	r.fields = FIELDS("Upgrade", "other");
	check_request(&r, H1_UPGRADE, "GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
	check_request(&r, H1_KEEP_ALIVE, "GET / HTTP/1.1\r\nhost: h\r\n\r\n");
	r.fields = FIELDS("TE", "trailers");
	check_request(&r, H1_UPGRADE, "GET / HTTP/1.1\r\nhost: h\r\nTE: trailers\r\nconnection: upgrade, te\r\n"
		"upgrade: websocket\r\n\r\n");
	check_request(&r, H1_KEEP_ALIVE, "GET / HTTP/1.1\r\nhost: h\r\nTE: trailers\r\nconnection: te\r\n\r\n");
	check_request(&r, H1_CLOSE, "GET / HTTP/1.1\r\nhost: h\r\nTE: trailers\r\nconnection: close, te\r\n\r\n");
	r.upgrade = SPAN_NONE;
	r.fields = FIELDS();
	check_request(&r, H1_UPGRADE, "GET / HTTP/1.1\r\nhost: h\r\n\r\n");
}

/* Whatever somebody put into the list: framing comes from `framing`. */
static void framing_is_never_copied(void **state)
{
	struct request to = { .method = METHOD_GET, .minor = 1 };
	struct request r = { .method_text = SPAN("POST"), .target = SPAN("/"), .authority = SPAN("h"), .framing = BODY_LENGTH,
		.content_length = 2 };
	struct reply y = { .status = 200, .framing = BODY_LENGTH, .content_length = 3 };

	(void)state;
	r.fields = y.fields = FIELDS("Content-Length", "7", "Transfer-Encoding", "chunked", "Connection", "close", "A", "b");
	check_request(&r, H1_KEEP_ALIVE, "POST / HTTP/1.1\r\nhost: h\r\nA: b\r\ncontent-length: 2\r\n\r\n");
	check_reply(&y, &to, H1_KEEP_ALIVE, "HTTP/1.1 200 OK\r\nA: b\r\ncontent-length: 3\r\n\r\n");
	r.fields = FIELDS("Host", "evil");
	check_request(&r, H1_KEEP_ALIVE, "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n");
}

static void a_field_in_its_line_is_copied_as_it_is(void **state)
{
	static const char line[] = "Name: value\r\nOther:value", blanks[] = "A  b";
	struct request r = { .method_text = SPAN("GET"), .target = SPAN("/"), .authority = SPAN("h") };

	(void)state;
	r.fields = FIELDS();
	assert_true(fields_add(&r.fields, (struct span){ line, 4 }, (struct span){ line + 6, 5 }));
	assert_true(fields_add(&r.fields, (struct span){ line + 13, 5 }, (struct span){ line + 19, 5 }));
	/* two bytes apart, but not ": " */
	assert_true(fields_add(&r.fields, (struct span){ line, 2 }, (struct span){ line + 4, 1 }));
	assert_true(fields_add(&r.fields, (struct span){ blanks, 1 }, (struct span){ blanks + 3, 1 }));
	check_request(&r, H1_KEEP_ALIVE, "GET / HTTP/1.1\r\nhost: h\r\nName: value\r\nOther: value\r\nNa: :\r\nA: b\r\n\r\n");
}

static void replies(void **state)
{
	struct request get = { .method = METHOD_GET, .minor = 1 }, head = { .method = METHOD_HEAD, .minor = 1 };
	struct request old = { .method = METHOD_GET, .minor = 0 }, old_head = { .method = METHOD_HEAD, .minor = 0 };
	static const struct {
		int status; enum framing framing; bool has_length; unsigned to; enum h1_connection connection; const char *expected;
	} table[] = {
		{ 200, BODY_LENGTH, true,  0, H1_KEEP_ALIVE, "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n" },
		{ 200, BODY_LENGTH, false, 0, H1_CLOSE,      "HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\n" },
		{ 200, BODY_NONE,   false, 0, H1_KEEP_ALIVE, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n" },
		{ 200, BODY_STREAM, false, 0, H1_KEEP_ALIVE, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" },
		{ 200, BODY_LENGTH, true,  1, H1_KEEP_ALIVE, "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n" },
		{ 200, BODY_NONE,   true,  1, H1_KEEP_ALIVE, "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n" },
		{ 200, BODY_NONE,   false, 1, H1_KEEP_ALIVE, "HTTP/1.1 200 OK\r\n\r\n" },
		{ 200, BODY_STREAM, false, 1, H1_KEEP_ALIVE, "HTTP/1.1 200 OK\r\n\r\n" },
		{ 200, BODY_LENGTH, true,  2, H1_KEEP_ALIVE, "HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: keep-alive\r\n\r\n" },
		{ 200, BODY_STREAM, false, 2, H1_CLOSE,      "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" },
		{ 200, BODY_STREAM, false, 3, H1_CLOSE,      "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" },
		{ 204, BODY_NONE,   true,  0, H1_KEEP_ALIVE, "HTTP/1.1 204 No Content\r\n\r\n" },
		{ 304, BODY_NONE,   true,  0, H1_KEEP_ALIVE, "HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n" },
		{ 304, BODY_NONE,   false, 0, H1_KEEP_ALIVE, "HTTP/1.1 304 Not Modified\r\n\r\n" },
		{ 205, BODY_NONE,   false, 0, H1_KEEP_ALIVE, "HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n" },
		{ 101, BODY_NONE,   false, 0, H1_UPGRADE,    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\r\n" },
		{ 599, BODY_NONE,   false, 0, H1_KEEP_ALIVE, "HTTP/1.1 599 \r\ncontent-length: 0\r\n\r\n" },
	};
	const struct request *const to[] = { &get, &head, &old, &old_head };

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct reply y = { .status = table[i].status, .framing = table[i].framing, .has_length = table[i].has_length,
			.content_length = 7 };

		check_reply(&y, to[table[i].to], table[i].connection, table[i].expected);
	}
}

static void reply_fields_and_phrase(void **state)
{
	struct request get = { .method = METHOD_GET, .minor = 1 };
	struct reply y = { .status = 200, .phrase = SPAN("Fine by me"), .framing = BODY_LENGTH };

	(void)state;
	y.fields = FIELDS("Server", "x", "Upgrade", "websocket", "Set-Cookie", "a=b", "Set-Cookie", "c=d");
	check_reply(&y, &get, H1_KEEP_ALIVE,
		"HTTP/1.1 200 Fine by me\r\nServer: x\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\ncontent-length: 0\r\n\r\n");
	y.status = 101;
	y.phrase = SPAN_NONE;
	check_reply(&y, &get, H1_UPGRADE, "HTTP/1.1 101 Switching Protocols\r\nServer: x\r\nUpgrade: websocket\r\nSet-Cookie: a=b\r\n"
		"Set-Cookie: c=d\r\nconnection: upgrade\r\n\r\n");
}

static void informational(void **state)
{
	struct reply y = { .status = 103, .has_length = true, .content_length = 4 };

	(void)state;
	y.fields = FIELDS("Link", "</a.css>", "Connection", "close");
	check_reply(&y, NULL, H1_KEEP_ALIVE, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
}

static void chunks(void **state)
{
	static const struct { size_t size; const char *expected; } table[] = {
		{ 1, "1\r\n" }, { 15, "f\r\n" }, { 16, "10\r\n" }, { 255, "ff\r\n" }, { 500, "1f4\r\n" }, { 4096, "1000\r\n" },
		{ 0xabcdef01, "abcdef01\r\n" }, { SIZE_MAX, "ffffffffffffffff\r\n" }, { (size_t)1 << 60, "1000000000000000\r\n" },
	};
	struct fields f;

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		char *out = malloc(H1_CHUNK_OVERHEAD);
		size_t n;

		assert_non_null(out);
		n = h1_write_chunk_head(out, table[i].size);
		assert_true(n <= H1_CHUNK_OVERHEAD);
		assert_true(span_eq((struct span){ out, n }, span_of(table[i].expected)));
		free(out);
	}
	f = FIELDS("grpc-status", "0", "Content-Length", "1");
	for (int i = 0; i < 2; i++) {
		size_t size = h1_trailers_size(i ? &f : NULL), n;
		char *out = malloc(size);

		assert_non_null(out);
		n = h1_write_last_chunk(out, i ? &f : NULL);
		assert_true(n <= size);
		assert_true(span_eq((struct span){ out, n }, i ? SPAN("0\r\ngrpc-status: 0\r\n\r\n") : SPAN("0\r\n\r\n")));
		free(out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests), cmocka_unit_test(request_connection_options), cmocka_unit_test(framing_is_never_copied),
		cmocka_unit_test(a_field_in_its_line_is_copied_as_it_is), cmocka_unit_test(replies),
		cmocka_unit_test(reply_fields_and_phrase), cmocka_unit_test(informational), cmocka_unit_test(chunks),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
