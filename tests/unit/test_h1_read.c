/* test_h1_read.c - every raw case of tests/raw, whole, byte by byte, cut in two everywhere, and behind h1_reader_head_ready;
 * plus what is not about bytes alone: tunnels, memory, time. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <time.h>

#include "raw_cases.h"

static const char *const framings[] = { "none", "length", "stream" };

static void check_text(const struct raw_case *c, const char *key, struct span found)
{
	struct span expected = raw_fact(c->facts, key);
	char text[4096];
	size_t n;

	if (!expected.at)
		return;
	n = raw_unescape(text, sizeof text, expected);
	if (!span_eq(found, (struct span){ text, n }))
		fail_msg(SPAN_FMT ": %s is '" SPAN_FMT "', expected '" SPAN_FMT "'", SPAN_ARG(c->name), key, SPAN_ARG(found),
			(int)n, text);
}

static void check_number(const struct raw_case *c, const char *key, uint64_t found)
{
	char text[24];

	check_text(c, key, (struct span){ text, u64_to_text(found, text) });
}

static void check_facts(const struct raw_case *c, const struct raw_play *p, size_t rest)
{
	const struct request *q = &p->request;
	const struct reply *y = &p->reply;

	check_number(c, "messages", p->messages);
	check_number(c, "trailers", p->trailers);
	check_text(c, "data", text_span(&p->data));
	check_number(c, "fields", p->requests ? q->fields.count : y->fields.count);
	check_number(c, "minor", p->requests ? q->minor : y->minor);
	check_text(c, "framing", span_of(framings[p->requests ? q->framing : y->framing]));
	check_number(c, "length", p->requests ? q->content_length : y->content_length);
	check_number(c, "keep_alive", p->requests ? q->keep_alive : y->keep_alive);
	if (p->requests) {
		check_text(c, "method", q->method_text);
		check_text(c, "target", q->target);
		check_text(c, "path", q->path);
		check_text(c, "query", q->query);
		check_text(c, "route", q->route_path);
		check_text(c, "authority", q->authority);
		check_text(c, "upgrade", q->upgrade);
		check_number(c, "expect", q->expect_continue);
	} else {
		check_number(c, "status", (uint64_t)y->status);
		check_text(c, "phrase", y->phrase);
		check_number(c, "has_length", y->has_length);
		check_number(c, "chunked", y->chunked);
		check_number(c, "rest", rest);
	}
}

/* The fault's word, lower case. */
static struct span fault_word(enum h1_fault fault)
{
	static const char *const words[] = {
#define X(word, text) #word,
		H1_FAULTS(X)
#undef X
	};
	static char lower[32];
	size_t n = 0;

	if (fault == H1_FAULT_NONE)
		return SPAN("ok");
	for (const char *w = words[fault]; *w; w++)
		lower[n++] = char_lower(*w);
	return (struct span){ lower, n };
}

/* Plays the bytes cut into pieces of the given first length and, behind it, of `step`. */
static void play(struct raw_play *p, bool requests, const struct raw_case *c, size_t first, size_t step, size_t *rest)
{
	size_t from = 0;

	raw_begin(p, requests, c);
	*rest = 0;
	while (from < c->len && !p->over) {
		size_t n = from == 0 ? first : step;
		struct span piece;
		char *copy;

		n = n < c->len - from ? n : c->len - from;
		if (n == 0)
			n = 1;
		copy = malloc(n);             /* exactly that many bytes, so that a look beyond them is seen */
		assert_non_null(copy);
		memcpy(copy, c->bytes + from, n);
		piece = (struct span){ copy, n };
		raw_feed(p, &piece);
		from += n;
		*rest = piece.len + (c->len - from);
		free(copy);
	}
	raw_close(p);
}

static void same_as(const struct raw_case *c, const struct raw_play *p, struct span said, size_t first, size_t step)
{
	if (!span_eq(text_span(&p->said), said))
		fail_msg(SPAN_FMT ": cut at %zu then every %zu gives\n" SPAN_FMT "\ninstead of\n" SPAN_FMT, SPAN_ARG(c->name), first, step,
			SPAN_ARG(text_span(&p->said)), SPAN_ARG(said));
}

/* As a front does: ask whether a head is ready, wait for more bytes when it is not. */
static void play_ready(struct raw_play *p, bool requests, const struct raw_case *c, size_t step)
{
	size_t from = 0, until = 0;
	bool in_head = true;

	raw_begin(p, requests, c);
	while (!p->over && (until < c->len || from < until)) {
		struct span in, data;
		enum h1_step answer;
		bool ready = true;

		until = until + step < c->len ? until + step : c->len;
		in = (struct span){ c->bytes + from, until - from };
		if (in_head && !h1_reader_head_ready(&p->reader, in)) {
			if (until < c->len)
				continue;                 /* the same bytes again, and more behind them */
			ready = false;
		}
		do {
			answer = h1_read(&p->reader, &in, &data);
			if (in_head && (answer == H1_MORE) == ready)
				fail_msg(SPAN_FMT ": head_ready said %d, h1_read %d", SPAN_ARG(c->name), ready, (int)answer);
			switch (answer) {
			case H1_MORE: break;
			case H1_HEAD: raw_say_head(p); in_head = false; break;
			case H1_DATA: text_add(&p->data, data); break;
			case H1_END:  raw_message_over(p); in_head = true; break;
			case H1_BAD:  raw_fault(p); break;
			}
		} while (answer != H1_MORE && !p->over && !in_head);
		from = until - in.len;
		if (ready && in.len == 0 && until == c->len)
			break;
	}
	raw_close(p);
}

static void run_case(bool requests, const struct raw_case *c)
{
	struct raw_play whole, cut;
	size_t rest;

	play(&whole, requests, c, c->len, c->len, &rest);
	if (!span_eq(fault_word(whole.reader.fault), c->outcome))
		fail_msg(SPAN_FMT ": %s, expected " SPAN_FMT, SPAN_ARG(c->name), h1_fault_text(whole.reader.fault), SPAN_ARG(c->outcome));
	check_facts(c, &whole, rest);
	for (size_t step = 1; step <= 7; step += 3) {
		play(&cut, requests, c, step, step, &rest);
		same_as(c, &cut, text_span(&whole.said), step, step);
		raw_end(&cut);
		play_ready(&cut, requests, c, step * 5);
		same_as(c, &cut, text_span(&whole.said), 0, step * 5);
		raw_end(&cut);
	}
	for (size_t at = 1; at < c->len; at += c->len < 1000 || at < 200 || at > c->len - 200 ? 1 : 397) {
		play(&cut, requests, c, at, c->len, &rest);
		same_as(c, &cut, text_span(&whole.said), at, c->len);
		raw_end(&cut);
	}
	raw_end(&whole);
}

static void run_file(const char *path, bool requests, unsigned least)
{
	static struct raw_file file;

	assert_true(raw_load(&file, path));
	assert_true(file.count >= least);
	for (unsigned i = 0; i < file.count; i++)
		run_case(requests, &file.at[i]);
	raw_unload(&file);
}

static void requests(void **state)
{
	(void)state;
	run_file("tests/raw/requests.txt", true, 240);
}

static void replies(void **state)
{
	(void)state;
	run_file("tests/raw/replies.txt", false, 110);
}

static struct raw_case case_of(const char *bytes)
{
	char *copy = strdup(bytes);

	assert_non_null(copy);
	return (struct raw_case){ .name = SPAN("case"), .bytes = copy, .len = strlen(bytes) };
}

static void tunnel_passes_everything_on(void **state)
{
	struct raw_case c = case_of("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n\n\r\nHTTP/9");
	struct raw_play p;
	struct span in = { c.bytes, c.len }, data;

	(void)state;
	c.facts = SPAN("upgrade=1");
	raw_begin(&p, false, &c);
	assert_int_equal(h1_read(&p.reader, &in, &data), H1_HEAD);
	h1_reader_tunnel(&p.reader);
	assert_int_equal(h1_read(&p.reader, &in, &data), H1_DATA);
	assert_true(span_eq(data, SPAN("\n\r\nHTTP/9")));
	assert_int_equal(h1_read(&p.reader, &in, &data), H1_MORE);
	assert_int_equal(h1_read_eof(&p.reader), H1_END);
	raw_end(&p);
	free(c.bytes);
}

static void tunnel_of_a_request(void **state)
{
	struct raw_case c = case_of("GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nzz");
	struct raw_play p;
	struct span in = { c.bytes, c.len }, data;

	(void)state;
	raw_begin(&p, true, &c);
	assert_int_equal(h1_read(&p.reader, &in, &data), H1_HEAD);
	assert_int_equal(h1_read(&p.reader, &in, &data), H1_END);
	h1_reader_tunnel(&p.reader);
	assert_int_equal(h1_read(&p.reader, &in, &data), H1_DATA);
	assert_true(span_eq(data, SPAN("zz")));
	raw_end(&p);
	free(c.bytes);
}

static void body_is_never_copied(void **state)
{
	struct raw_case c = case_of("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
	struct raw_play p;
	struct span in = { c.bytes, c.len }, data;

	(void)state;
	raw_begin(&p, true, &c);
	assert_int_equal(h1_read(&p.reader, &in, &data), H1_HEAD);
	assert_int_equal(h1_read(&p.reader, &in, &data), H1_DATA);
	assert_ptr_equal(data.at, strstr(c.bytes, "abc"));
	assert_int_equal(data.len, 3);
	assert_int_equal(h1_read(&p.reader, &in, &data), H1_END);
	assert_int_equal(h1_read(&p.reader, &in, &data), H1_END);         /* until h1_reader_next says otherwise */
	raw_end(&p);
	free(c.bytes);
}

/* Body bytes moved past the reader (splice) and bytes through it, mixed; the next message is found where it is. */
static void skipped_body_bytes(void **state)
{
	struct raw_case c = case_of("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc...ghi");
	struct raw_case next = case_of("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n");
	struct raw_play p;
	struct span in = { c.bytes, c.len - 6 }, data;

	(void)state;
	raw_begin(&p, true, &c);
	assert_int_equal(h1_reader_left(&p.reader), 0);
	assert_int_equal(h1_read(&p.reader, &in, &data), H1_HEAD);
	assert_int_equal(h1_reader_left(&p.reader), 9);
	assert_int_equal(h1_read(&p.reader, &in, &data), H1_DATA);
	assert_int_equal(h1_reader_left(&p.reader), 6);
	h1_reader_skip(&p.reader, 3);
	in = (struct span){ c.bytes + c.len - 3, 3 };
	assert_int_equal(h1_read(&p.reader, &in, &data), H1_DATA);
	assert_true(span_eq(data, SPAN("ghi")));
	assert_int_equal(h1_reader_left(&p.reader), 0);
	assert_int_equal(h1_read(&p.reader, &in, &data), H1_END);
	h1_reader_next(&p.reader);
	in = (struct span){ next.bytes, next.len };
	assert_int_equal(h1_read(&p.reader, &in, &data), H1_HEAD);
	h1_reader_skip(&p.reader, 2);
	assert_int_equal(h1_read(&p.reader, &in, &data), H1_END);
	h1_reader_next(&p.reader);
	in = (struct span){ next.bytes, next.len };
	assert_int_equal(h1_read(&p.reader, &in, &data), H1_HEAD);
	assert_int_equal(h1_read_eof(&p.reader), H1_BAD);
	raw_end(&p);
	free(c.bytes);
	free(next.bytes);
}

static void nothing_is_held_while_idle(void **state)
{
	struct raw_case c = case_of("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
	struct raw_play p;
	struct span in = { c.bytes, 2 }, data;

	(void)state;
	raw_begin(&p, true, &c);
	assert_int_equal(h1_read(&p.reader, &in, &data), H1_MORE);
	assert_false(p.reader.head_begun);
	assert_int_equal(h1_reader_held(&p.reader), 0);
	in = (struct span){ c.bytes + 2, 5 };
	assert_false(h1_reader_head_ready(&p.reader, in));
	assert_true(p.reader.head_begun);
	assert_int_equal(h1_reader_held(&p.reader), 0);
	assert_int_equal(h1_read(&p.reader, &in, &data), H1_MORE);
	assert_int_equal(h1_reader_held(&p.reader), 5);
	in = (struct span){ c.bytes + 7, c.len - 7 };
	assert_true(h1_reader_head_ready(&p.reader, in));
	assert_int_equal(h1_read(&p.reader, &in, &data), H1_HEAD);
	assert_int_equal(h1_reader_held(&p.reader), 0);
	assert_null(p.reader.held);
	raw_end(&p);
	free(c.bytes);
}

static void certain_faults_need_no_arena(void **state)
{
	struct raw_case c = case_of("GET / HTTP/1.1\nHost");
	struct raw_play p;
	struct span in = { c.bytes, c.len }, data;

	(void)state;
	raw_begin(&p, true, &c);
	p.reader.arena = NULL;
	p.reader.request = NULL;
	assert_true(h1_reader_head_ready(&p.reader, in));
	assert_int_equal(h1_read(&p.reader, &in, &data), H1_BAD);
	assert_int_equal(p.reader.fault, H1_FAULT_LINE_END);
	assert_true(p.reader.head_begun);
	assert_int_equal(h1_read(&p.reader, &in, &data), H1_BAD);
	assert_int_equal(h1_read_eof(&p.reader), H1_BAD);
	raw_end(&p);
	free(c.bytes);
}

/* However little memory there is, the answer is a fault, not a crash and not a wrong head. */
static void out_of_memory(void **state)
{
	struct raw_case c = case_of("GET http://x?a HTTP/1.1\r\nHost: h\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n");
	bool passed = false;

	(void)state;
	for (size_t max = 0; max < 4096 && !passed; max += 16) {
		struct raw_play p;
		struct span in = { c.bytes, c.len };

		raw_begin(&p, true, &c);
		arena_init(&p.arena, NULL, max);
		raw_feed(&p, &in);
		assert_true(p.messages == 1 || p.reader.fault == H1_FAULT_NO_MEMORY);
		passed = p.messages == 1;
		raw_end(&p);
	}
	assert_true(passed);
	free(c.bytes);
}

/* A head that trickles in must cost the same per byte at its end as at its beginning. */
static void trickle_is_linear(void **state)
{
	enum { HEAD = 200 * 1024 };
	static const struct h1_limits wide = { .max_header_bytes = HEAD + 100, .max_fields = 100, .max_target_bytes = 8192 };
	static const char start[] = "GET / HTTP/1.1\r\nHost: h\r\nA: ";
	struct raw_case c = { .facts = SPAN_NONE };
	struct raw_play p;
	clock_t begun;
	double seconds;

	(void)state;
	raw_begin(&p, true, &c);
	p.reader.limits = &wide;
	begun = clock();
	for (size_t i = 0; i < HEAD; i++) {
		char byte = i < sizeof start - 1 ? start[i] : 'a';
		struct span in = { &byte, 1 }, data;

		assert_false(h1_reader_head_ready(&p.reader, in));
		assert_int_equal(h1_read(&p.reader, &in, &data), H1_MORE);
	}
	seconds = (double)(clock() - begun) / CLOCKS_PER_SEC;
	assert_int_equal(h1_reader_held(&p.reader), HEAD);
	assert_true(seconds < 1.0);           /* quadratic would be 20 thousand million looks */
	raw_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests), cmocka_unit_test(replies), cmocka_unit_test(tunnel_passes_everything_on),
		cmocka_unit_test(tunnel_of_a_request), cmocka_unit_test(body_is_never_copied), cmocka_unit_test(skipped_body_bytes),
		cmocka_unit_test(nothing_is_held_while_idle), cmocka_unit_test(certain_faults_need_no_arena),
		cmocka_unit_test(out_of_memory), cmocka_unit_test(trickle_is_linear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
