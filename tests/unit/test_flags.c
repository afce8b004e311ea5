/* test_flags.c - flags: which documents are flags, who is in, that shares only grow, and that a request sees one set. */
#include <stdio.h>

#include "core/exchange.h"
#include "unit.h"

#define SET(text) read_set(SPAN(text))

static struct flag_set *read_set(struct span text)
{
	char words[200];
	struct text why;
	text_over(&why, words, sizeof(words));
	struct flag_set *set = flag_set_read(text, &why);
	if (!set)
		print_error(SPAN_FMT "\n", SPAN_ARG(text_span(&why)));
	assert_non_null(set);
	return set;
}

static void refused(struct span text, const char *because)
{
	char words[200];
	struct text why;
	text_over(&why, words, sizeof(words) - 1);
	assert_null(flag_set_read(text, &why));
	words[why.len] = '\0';
	if (!strstr(words, because))
		print_error("'%s' is not in '%s'\n", because, words);
	assert_non_null(strstr(words, because));
}

/* A request of this user; an empty one has none. */
static struct arena arena;
static struct request request_of(const char *user)
{
	struct request r = { .minor = 1 };
	assert_true(fields_init(&r.fields, &arena, 2));
	if (*user)
		assert_true(fields_add(&r.fields, SPAN("x-user"), span_of(user)));
	return r;
}

static bool is_on(const struct flag_set *set, const char *flag, const char *user, struct span *variant)
{
	struct request r = request_of(user);
	return flag_set_on(set, span_of(flag), &r, SPAN("192.0.2.1"), variant);
}

static const char *user_at(unsigned i)
{
	static char name[32];
	snprintf(name, sizeof(name), "user-%u", i);
	return name;
}

static void test_documents(void **state)
{
	(void)state;
	struct flag_set *set = SET("{\"version\": 3, \"flags\": {\"a\": true, \"b\": false, \"c\": {}, \"d\": {\"enabled\": false, \"owner\": [1]}, \"a name\": true}}");
	assert_int_equal(flag_set_count(set), 5);
	assert_true(is_on(set, "a", "", NULL) && is_on(set, "c", "", NULL));
	assert_false(is_on(set, "b", "", NULL) || is_on(set, "d", "", NULL) || is_on(set, "nobody", "", NULL) || is_on(NULL, "a", "", NULL));
	assert_true(span_starts(flag_set_document(set), SPAN("{\"version\": 3,")));
	flag_set_unref(set);
	flag_set_unref(NULL);
	refused(SPAN(""), "not JSON");
	refused(SPAN_NONE, "not JSON");
	refused(SPAN("{\"flags\": {\"a\": tru}}"), "not JSON: line 1");
	refused(SPAN("[]"), "no mapping 'flags'");
	refused(SPAN("{\"flags\": [\"a\"]}"), "no mapping 'flags'");
	refused(SPAN("{\"flags\": {\"a\": true, \"a\": false}}"), "duplicate");
	refused(SPAN("{\"flags\": {\"a\": null}}"), "flag 'a': it is neither true nor false");
	refused(SPAN("{\"flags\": {\"a\": {\"enabled\": 1}}}"), "'enabled'");
	refused(SPAN("{\"flags\": {\"a\": {\"key\": \"route\"}}}"), "'key'");
	refused(SPAN("{\"flags\": {\"a\": {\"key\": \"header:x y\"}}}"), "'key'");
	refused(SPAN("{\"flags\": {\"a\": {\"variants\": [\"x\"]}}}"), "'variants'");
	refused(SPAN("{\"flags\": {\"a\": {\"variants\": {\"x\": \"50%\"}}}}"), "do not make 100%");
	refused(SPAN("{\"flags\": {\"a\": {\"variants\": {\"x\\r\\ny: 1\": \"100%\"}}}}"), "not the name of a variant");
	refused(SPAN("{\"flags\": {\"a\": {\"variants\": {\"x\": 100}}}}"), "not a share");
	static const char *const shares[] = { "10", "%", "-1%", "100.1%", "101%", "1.%", ".5%", "1e1%", "0.1234567%", " 1%", "1 %" };
	for (unsigned i = 0; i < sizeof(shares) / sizeof(*shares); i++) {
		char text[80];
		snprintf(text, sizeof(text), "{\"flags\": {\"a\": {\"share\": \"%s\"}}}", shares[i]);
		refused(span_of(text), "'share' is not a share");
	}
}

static unsigned count_in(const struct flag_set *set, const char *flag, bool in[1000])
{
	unsigned n = 0;
	for (unsigned i = 0; i < 1000; i++)
		n += in[i] = is_on(set, flag, user_at(i), NULL);
	return n;
}

static void test_shares_only_grow(void **state)
{
	static const struct { const char *share; unsigned least, most; } steps[] = {
		{ "0%", 0, 0 }, { "0.5%", 0, 15 }, { "10%", 70, 130 }, { "33.333333%", 290, 380 }, { "90%", 870, 930 }, { "100%", 1000, 1000 },
	};
	bool before[1000] = { false }, now[1000];
	(void)state;
	for (unsigned s = 0; s < sizeof(steps) / sizeof(*steps); s++) {
		char text[100];
		snprintf(text, sizeof(text), "{\"flags\": {\"a\": {\"share\": \"%s\", \"key\": \"header:X-User\"}}}", steps[s].share);
		struct flag_set *set = read_set(span_of(text));
		unsigned n = count_in(set, "a", now);
		assert_in_range(n, steps[s].least, steps[s].most);
		for (unsigned i = 0; i < 1000; i++)
			assert_true(now[i] || !before[i]);
		memcpy(before, now, sizeof(before));
		assert_int_equal(is_on(set, "a", "", NULL), steps[s].least == 1000);      /* without the key: at 100% only */
		flag_set_unref(set);
	}
}

/* Whoever is in here says nothing of who is in there; and places are for ever: these must never change. */
static void test_flags_are_independent(void **state)
{
	bool a[1000], b[1000];
	unsigned both = 0;
	(void)state;
	struct flag_set *set = SET("{\"flags\": {\"a\": {\"share\": \"50%\", \"key\": \"header:x-user\"}, \"b\": {\"share\": \"50%\", \"key\": \"header:x-user\"}}}");
	count_in(set, "a", a);
	count_in(set, "b", b);
	for (unsigned i = 0; i < 1000; i++)
		both += a[i] && b[i];
	assert_in_range(both, 200, 300);
	char first[17] = "";
	for (unsigned i = 0; i < 16; i++)
		first[i] = a[i] ? '1' : '0';
	assert_string_equal(first, "1010101001000101");
	flag_set_unref(set);
}

static void test_variants(void **state)
{
	unsigned count[3] = { 0 }, in = 0;
	struct span variant;
	(void)state;
	struct flag_set *set = SET("{\"flags\": {\"a\": {\"share\": \"50%\", \"key\": \"header:x-user\", "
		"\"variants\": {\"red\": \"20%\", \"green\": \"0%\", \"blue\": \"80%\"}}, \"all\": {\"key\": \"header:x-user\", \"variants\": {\"x\": \"1%\", \"y\": \"99%\"}}}}");
	for (unsigned i = 0; i < 1000; i++) {
		bool on = is_on(set, "a", user_at(i), &variant);
		in += on;
		assert_int_equal(on, variant.len > 0);
		count[0] += span_eq(variant, SPAN("red"));
		count[1] += span_eq(variant, SPAN("green"));
		count[2] += span_eq(variant, SPAN("blue"));
	}
	assert_int_equal(count[0] + count[1] + count[2], in);
	assert_int_equal(count[1], 0);
	assert_in_range(count[0], 70, 130);
	assert_true(is_on(set, "all", "", &variant) && span_eq(variant, SPAN("y")));      /* without the key: the last one */
	assert_true(flag_set_has(set, &(struct conf_flag){ .name = "a", .variant = "red" }));
	assert_true(flag_set_has(set, &(struct conf_flag){ .name = "a" }));
	assert_false(flag_set_has(set, &(struct conf_flag){ .name = "a", .variant = "pink" }) || flag_set_has(set, &(struct conf_flag){ .name = "z" }));
	flag_set_unref(set);
}

static void test_what_changed(void **state)
{
	char words[100];
	struct text out;
	(void)state;
	struct flag_set *one = SET("{\"flags\": {\"a\": {\"share\": \"5%\", \"x\": 1}}}"), *same = SET("{\"flags\":{\"a\":{\"x\":1,\"share\":\"5%\"}}}");
	struct flag_set *two = SET("{\"flags\": {\"a\": {\"share\": \"6%\", \"x\": 1}}}"), *none = SET("{\"flags\": {}}");
	text_over(&out, words, sizeof(words));
	flag_set_changes(one, same, &out);
	assert_int_equal(out.len, 0);
	flag_set_changes(one, two, &out);
	assert_true(span_eq(text_span(&out), SPAN("~a")));
	flag_set_changes(none, one, &out);
	flag_set_changes(one, none, &out);
	assert_true(span_eq(text_span(&out), SPAN("~a, +a, -a")));
	flag_set_unref(one);
	flag_set_unref(same);
	flag_set_unref(two);
	flag_set_unref(none);
}

/* An exchange keeps what it has seen first; the next one sees the new set. */
static void test_one_request_sees_one_set(void **state)
{
	static const struct conf_flag a = { .name = "a" };
	static const struct conf_dry_run dry = { CONF_DRY_FLAG, { .name = "a" } }, always = { .when = CONF_DRY_ALWAYS }, never = { .when = CONF_DRY_NEVER };
	struct flag_book book;
	struct worker w;
	(void)state;
	assert_true(flag_book_init(&book));
	worker_init(&w, 0, 1);
	struct exchange early = { .worker = &w, .request = request_of("") }, late = early, none = early;
	assert_false(exchange_flag(&none, &a));                      /* no book */
	assert_true(exchange_dry_run(&none, &always) && !exchange_dry_run(&none, &never) && !exchange_dry_run(&none, &dry));
	assert_null(none.flags);
	w.flag_book = &book;
	assert_false(exchange_flag(&early, &a));
	flag_book_publish(&book, SET("{\"flags\": {\"a\": true}}"));
	assert_false(exchange_flag(&early, &a) || exchange_dry_run(&early, &dry));
	assert_true(exchange_flag(&late, &a) && exchange_dry_run(&late, &dry));
	flag_book_publish(&book, SET("{\"flags\": {}}"));
	flag_book_fini(&book);
	assert_true(exchange_flag(&late, &a));
	flag_set_unref(early.flags);
	flag_set_unref(late.flags);
	worker_fini(&w);
}

int main(void)
{
	arena_init(&arena, NULL, 16 * 1024 * 1024);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_documents), cmocka_unit_test(test_shares_only_grow), cmocka_unit_test(test_flags_are_independent),
		cmocka_unit_test(test_variants), cmocka_unit_test(test_what_changed), cmocka_unit_test(test_one_request_sees_one_set),
	};
	int code = cmocka_run_group_tests(tests, NULL, NULL);
	arena_fini(&arena);
	return code;
}
