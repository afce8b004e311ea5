/* test_via.c - Via (forward.c): who we say that we are, and whom we take for ourselves. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text.h"
#include "http/forward.h"
#include "http/h1_read.h"

static struct arena arena;
static struct chunk_pool pool;

static int begin(void **state)
{
	(void)state;
	arena_init(&arena, NULL, 1 << 20);
	chunk_pool_init(&pool);
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
	static const struct h1_limits limits = { .max_header_bytes = 32768, .max_fields = 100, .max_target_bytes = 8192 };
	char memory[2048];
	struct h1_reader r;
	struct request q;
	struct text t;

	text_over(&t, memory, sizeof memory);
	text_f(&t, "GET / HTTP/1.1\r\nHost: shop.example\r\n%s\r\n", fields);
	h1_reader_init(&r, true, &limits, &pool);
	r.arena = &arena;
	r.request = &q;
	struct span in = text_span(&t), data;
	assert_false(t.cut);
	assert_int_equal(h1_read(&r, &in, &data), H1_HEAD);
	h1_reader_fini(&r);
	return q;
}

static void loops(void **state)
{
	static const struct { const char *via; bool loop; } table[] = {
		{ "", false },
		{ "Via: 1.1 outrigger (c0ffee00)\r\n", true },
		{ "Via: 1.0 a, 1.1 outrigger (c0ffee00), 1.1 b\r\n", true },
		{ "Via: 1.0 a\r\nVia: 2 OUTRIGGER ( c0ffee00 )\r\n", true },
		{ "Via: HTTP/1.1\toutrigger(c0ffee00)\r\n", true },
		{ "Via: 1.1 outrigger (deadbeef), 1.1 outrigger (c0ffee00)\r\n", true },
		{ "Via: 1.1 outrigger\r\n", false },                /* another one, in front of us */
		{ "Via: 1.1 outrigger (c0ffee01)\r\n", false },
		{ "Via: 1.1 outrigger (c0ffee0)\r\n", false },
		{ "Via: 1.1 outrigger (c0ffee00\r\n", false },
		{ "Via: 1.1 outrigger ()\r\n", false },
		{ "Via: 1.1 fred (c0ffee00)\r\n", false },
		{ "Via: 1.1 outrigger2, 1.1 not-outrigger\r\n", false },
		{ "Via: 1.1 a (outrigger)\r\n", false },
		{ "Via: outrigger\r\n", false },
		{ "Via:\r\n", false },
		{ "X-Via: 1.1 outrigger\r\n", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct request q = request_of(table[i].via);

		if (forward_is_loop(&q, SPAN("c0ffee00")) != table[i].loop)
			fail_msg("%s: %d", table[i].via, !table[i].loop);
	}
}

/* Instances that cannot know of each other: their number ends it. */
static void more_than_ten_outriggers_are_a_loop(void **state)
{
	(void)state;
	for (unsigned hops = 1; hops <= 12; hops++) {
		char memory[512];
		struct text t;

		text_over(&t, memory, sizeof memory);
		for (unsigned i = 0; i < hops; i++)
			text_f(&t, i % 2 ? ", 1.1 outrigger (%08x)" : "\r\nVia: 1.0 squid, 1.1 outrigger (%08x)", i);
		text_f(&t, "\r\n%c", 0);
		struct request q = request_of(memory + 2);
		assert_int_equal(forward_is_loop(&q, SPAN("c0ffee00")), hops > VIA_HOPS_MAX);
	}
}

static void the_instance_is_told_as_a_comment(void **state)
{
	static const struct { const char *instance, *via; } table[] = {
		{ "", "1.1 outrigger" }, { "c0ffee00", "1.1 outrigger (c0ffee00)" }, { "a", "1.1 outrigger (a)" }, { "123456789", "1.1 outrigger" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct request q = request_of(""), out;
		struct trace trace;
		struct rand dice = { 0 };
		struct forward_facts facts = { .scheme = SPAN("http"), .authority = q.authority, .attempt = 1, .trace = &trace,
			.target = q.target, .instance = span_of(table[i].instance) };

		trace_begin(&trace, &q, &dice, 1);
		assert_true(forward_request(&out, &q, &facts, &arena));
		assert_true(span_eq(fields_value(&out.fields, FIELD_VIA), span_of(table[i].via)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loops), cmocka_unit_test(more_than_ten_outriggers_are_a_loop), cmocka_unit_test(the_instance_is_told_as_a_comment),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
