/* test_idem_answer.c - a kept answer goes to bytes and back; whatever else stands in a store is not taken for one. */
#include "unit.h"

#include <stdlib.h>

#include "base/rand.h"
#include "../../src/policy/idem_answer.h"

static struct arena arena;

static int begin(void **state)
{
	(void)state;
	arena_init(&arena, NULL, 1 << 20);
	return 0;
}

static int finish(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

static struct capture *sample(struct span body, bool trailers)
{
	struct reply r = { .status = 201, .phrase = SPAN("Made"), .framing = trailers ? BODY_STREAM : BODY_LENGTH, .content_length = trailers ? 0 : body.len,
		.has_length = !trailers, .chunked = trailers };
	assert_true(fields_init(&r.fields, &arena, 4));
	assert_true(fields_add(&r.fields, SPAN("Location"), SPAN("/orders/7")) && fields_add(&r.fields, SPAN("x-empty"), SPAN(""))
		&& fields_add(&r.fields, SPAN("set-cookie"), SPAN("a=1; b")) && fields_add(&r.fields, SPAN("set-cookie"), SPAN("c\xff\xfe")));
	struct capture *c = capture_new(&r);
	assert_non_null(c);
	assert_true(capture_add(c, body));
	if (trailers)
		assert_true(fields_init(&c->trailers, &c->arena, 1) && fields_add(&c->trailers, SPAN("grpc-status"), SPAN("0")));
	c->ended = true;
	return c;
}

static void assert_same_fields(const struct fields *a, const struct fields *b)
{
	assert_int_equal(a->count, b->count);
	assert_true(a->present == b->present);
	for (unsigned i = 0; i < a->count; i++)
		assert_true(span_eq(a->at[i].name, b->at[i].name) && span_eq(a->at[i].value, b->at[i].value) && a->at[i].id == b->at[i].id);
}

static void there_and_back(void **state)
{
	static const char bytes[] = "a\0b\nc 1 2\r\n\xff";
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct capture *c = sample(i & 1 ? (struct span){ bytes, sizeof(bytes) } : SPAN_NONE, i & 2);
		struct idem_answer *a = idem_answer_new(c);
		assert_non_null(a);
		struct capture *back = idem_answer_read(idem_answer_span(a));
		assert_non_null(back);
		assert_int_equal(back->reply.status, 201);
		assert_true(span_eq(back->reply.phrase, SPAN("Made")));
		assert_int_equal(back->reply.framing, c->reply.framing);
		assert_int_equal(back->reply.content_length, c->reply.content_length);
		assert_true(back->reply.has_length == c->reply.has_length && back->reply.chunked == c->reply.chunked && back->ended);
		assert_same_fields(&back->reply.fields, &c->reply.fields);
		assert_same_fields(&back->trailers, &c->trailers);
		assert_true(span_eq((struct span){ back->body, back->len }, (struct span){ c->body, c->len }));
		idem_answer_unref(a);
		capture_unref(back);
		capture_unref(c);
	}
}

static bool is_read(const char *at, size_t len)
{
	char *copy = malloc(len ? len : 1);       /* of exactly this size: reading beyond it is seen */
	memcpy(copy, at, len);
	struct capture *c = idem_answer_read((struct span){ copy, len });
	bool any = c != NULL;
	capture_unref(c);
	free(copy);
	return any;
}

static void nothing_else_is_one(void **state)
{
	static const char *const bad[] = {
		"", "\n", "1", "2 200 0 0 0 0 0 0 0 0\n", "1 200 0 0 0 0 0 0 0\n", "1 200 0 0 0 0 0 0 0 0 0\n", "1 199 0 0 0 0 0 0 0 0\n", "1 600 0 0 0 0 0 0 0 0\n",
		"1 200 3 0 0 0 0 0 0 0\n", "1 200 0 0 0 0 1001 0 0 0\n", "1 200 0 0 0 0 0 0 0 1\n", "1 200 0 0 0 0 0 0 0 0\nx", "1 200 1 1 5 0 0 0 0 2\nab",
		"1 200 0 0 0 0 1 0 0 0\n1 1\na", "1 200 0 0 0 0 1 0 0 0\n1 1\n\x20" "b", "1 200 0 0 0 0 1 0 0 0\n1 3\nab\nc", "1 200 0 0 0 0 1 0 0 0\n0 1\nb",
		"1 200 0 0 0 0 0 0 3 0\na\rb", "1 200 0 0 0 0 1 0 0 0\n1 18446744073709551615\nab", "1 -200 0 0 0 0 0 0 0 0\n", "1  200 0 0 0 0 0 0 0 0\n",
	};
	(void)state;
	assert_true(is_read("1 200 0 0 0 0 0 0 0 0\n", 22));
	assert_true(is_read("1 200 0 0 0 0 1 0 0 0\n1 1\nab", 28));
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(is_read(bad[i], strlen(bad[i])));
}

static void cut_or_spoiled(void **state)
{
	struct capture *c = sample(SPAN("hello world"), true);
	struct idem_answer *a = idem_answer_new(c);
	struct rand rand;
	(void)state;
	assert_non_null(a);
	rand_seed(&rand, 7);
	for (size_t len = 0; len < a->len; len++)
		assert_false(is_read(a->bytes, len));
	for (unsigned i = 0; i < 20000; i++) {    /* read or not: nothing is touched that is not its own */
		char *copy = malloc(a->len);
		memcpy(copy, a->bytes, a->len);
		for (unsigned k = 0; k <= rand_below(&rand, 3); k++)
			copy[rand_below(&rand, a->len)] = (char)(rand_below(&rand, 2) ? '0' + rand_below(&rand, 10) : rand_below(&rand, 256));
		struct capture *back = idem_answer_read((struct span){ copy, a->len });
		for (unsigned k = 0; back && k < back->reply.fields.count; k++)
			assert_true(field_value_is_safe(back->reply.fields.at[k].value) && field_name_is_token(back->reply.fields.at[k].name));
		capture_unref(back);
		free(copy);
	}
	idem_answer_unref(a);
	capture_unref(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(there_and_back, begin, finish), cmocka_unit_test(nothing_else_is_one),
		cmocka_unit_test_setup_teardown(cut_or_spoiled, begin, finish),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
