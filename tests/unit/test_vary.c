/* test_vary.c - which fields an answer varies with, and what a request has in them. */
#include "unit.h"

#include "../../src/policy/vary.h"

static struct arena arena;
static struct exchange ex;
static char memory[VARY_TEXT];
static struct text out;

static int begin(void **state)
{
	(void)state;
	arena_init(&arena, NULL, 1 << 20);
	memset(&ex, 0, sizeof(ex));
	text_over(&out, memory, sizeof(memory));
	return !fields_init(&ex.request.fields, &arena, 16) || !fields_init(&ex.own, &arena, 4);
}

static int finish(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

static void has(const char *name, const char *value)
{
	assert_true(fields_add(&ex.request.fields, span_of(name), span_of(value)));
}

/* ── names ── */

static bool names_of(const char *const *lines, const struct conf_texts *key)
{
	struct reply r = { .status = 200 };
	assert_true(fields_init(&r.fields, &arena, 8) && fields_add(&r.fields, SPAN("server"), SPAN("x-not")));
	for (; *lines; lines++)
		assert_true(fields_add(&r.fields, SPAN("Vary"), span_of(*lines)));
	text_over(&out, memory, sizeof(memory));
	return vary_names_add(&out, &r, key);
}

static void reads_names(void **state)
{
	static const struct { const char *lines[3], *names; } good[] = {
		{ { NULL }, "" }, { { "" }, "" }, { { "Accept-Language" }, "accept-language," }, { { "a, ,B", "A,c" }, "a,b,c," },
		{ { "a,b,c,d,e,f,g,h,h" }, "a,b,c,d,e,f,g,h," }, { { "x-if-none" }, "x-if-none," }, { { "Origin" , "x-forwarded-proto" }, "origin,x-forwarded-proto," },
	};
	static const char *const bad[] = {
		"*", "a, *", "a b", "a;b", "a,b,c,d,e,f,g,h,i", "X-Request-ID", "traceparent", "If-None-Match", "Connection", "te", "Via", "grpc-timeout",
		"Content-Length", "x-outrigger-attempt",
	};
	(void)state;
	for (unsigned i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_true(names_of(good[i].lines, NULL));
		assert_span(text_span(&out), good[i].names);
	}
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		const char *const lines[] = { bad[i], NULL };
		assert_false(names_of(lines, NULL));
	}
}

static void leaves_out_what_the_key_has(void **state)
{
	struct span parts[] = { SPAN("method"), SPAN("host"), SPAN("target"), SPAN("Accept") };
	const struct conf_texts key = { parts, 4 };
	static const char *const lines[] = { "accept, host, b, target", NULL };
	(void)state;
	assert_true(names_of(lines, &key));
	assert_span(text_span(&out), "b,target,");       /* the field Target is not the request's target */
}

static void names_have_a_bound(void **state)
{
	char name[VARY_NAMES_TEXT + 1], room[VARY_NAMES_TEXT];
	struct reply r = { .status = 200 };
	struct text small;
	(void)state;
	memset(name, 'n', sizeof(name));
	assert_true(fields_init(&r.fields, &arena, 2) && fields_add(&r.fields, SPAN("vary"), (struct span){ name, sizeof(name) }));
	text_over(&small, room, sizeof(room));
	assert_false(vary_names_add(&small, &r, NULL));
}

/* ── values ── */

static void assert_values(const char *names, const char *expected)
{
	text_over(&out, memory, sizeof(memory));
	vary_add(&out, span_of(names), &ex);
	assert_false(out.cut);
	assert_span(text_span(&out), expected);
}

static void lines_are_one_list(void **state)
{
	(void)state;
	has("X-Lang", "de");
	has("other", "x");
	has("x-lang", "en");
	has("empty", "");
	assert_values("x-lang,none,empty,", "x-lang=de,en,\nnone=\nempty=,\n");
}

static void as_the_app_sees_it(void **state)
{
	(void)state;
	ex.request.authority = SPAN("h.example");
	ex.scheme = SPAN("https");
	ex.listener_port = 8443;
	ex.client_address = SPAN("192.0.2.1");
	has("x-forwarded-proto", "gopher");
	has("x-forwarded-host", "other");
	has("forwarded", "for=a");
	assert_values("host,x-forwarded-for,x-forwarded-proto,x-forwarded-host,x-forwarded-port,forwarded,",
		"host=h.example,\nx-forwarded-for=192.0.2.1,\nx-forwarded-proto=https,\nx-forwarded-host=h.example,\nx-forwarded-port=8443,\nforwarded=\n");
	ex.client_trusted = true;
	assert_values("x-forwarded-proto,forwarded,", "x-forwarded-proto=https,gopher,\nforwarded=for=a,\n");
}

static void what_connection_names_does_not_get_there(void **state)
{
	(void)state;
	has("x-lang", "de");
	has("connection", "close");
	assert_values("x-lang,", "x-lang=de,\n");
	has("connection", "keep-alive, X-Lang");
	assert_values("x-lang,", "x-lang=\n");
}

static void what_a_policy_sets_counts(void **state)
{
	(void)state;
	has("x-user", "mallory");
	exchange_set_request_field(&ex, SPAN("x-user"), SPAN("ann"));
	assert_values("x-user,", "x-user=ann,\n");
}

static void values_have_a_bound(void **state)
{
	char small[16];
	struct text t;
	(void)state;
	has("x-lang", "0123456789");
	text_over(&t, small, sizeof(small));
	vary_add(&t, SPAN("x-lang,"), &ex);
	assert_true(t.cut);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, finish)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reads_names), TEST(leaves_out_what_the_key_has), TEST(names_have_a_bound), TEST(lines_are_one_list), TEST(as_the_app_sees_it),
		TEST(what_connection_names_does_not_get_there), TEST(what_a_policy_sets_counts), TEST(values_have_a_bound),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
