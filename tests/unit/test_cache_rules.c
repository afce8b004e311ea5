/* test_cache_rules.c - what may be kept, and how long: table by table. */
#include "unit.h"

#include "../../src/policy/cache_rules.h"

enum { S = 1000000 };
static const uint64_t NOW_MS = 784111777000;             /* Sun, 06 Nov 1994 08:49:37 GMT */
static const struct cache_wishes wishes = { 7 * S, 20 * S, 30 * S };

struct row {
	int status;
	const char *control, *name, *value;   /* Cache-Control, and one more field */
	bool personal, kept;
	uint64_t fresh_s, age_s, revalidate_s, error_s;
};

static void terms(void **state)
{
	static const struct row table[] = {
		{ 200, NULL, NULL, NULL, false, true, 7, 0, 20, 30 },
		{ 404, NULL, NULL, NULL, false, true, 7, 0, 20, 30 },
		{ 302, NULL, NULL, NULL, false, false, 0, 0, 0, 0 },
		{ 302, "max-age=5", NULL, NULL, false, true, 5, 0, 20, 30 },
		{ 500, "max-age=5", NULL, NULL, false, false, 0, 0, 0, 0 },
		{ 206, "max-age=5", NULL, NULL, false, false, 0, 0, 0, 0 },
		{ 401, "max-age=5", NULL, NULL, false, false, 0, 0, 0, 0 },
		{ 200, "max-age=5", NULL, NULL, true, false, 0, 0, 0, 0 },
		{ 200, "max-age=5, public", NULL, NULL, true, true, 5, 0, 20, 30 },
		{ 200, "s-maxage=9, max-age=5", NULL, NULL, true, true, 9, 0, 0, 0 },
		{ 200, "s-maxage=9, stale-if-error=3, stale-while-revalidate=2", NULL, NULL, false, true, 9, 0, 2, 3 },
		{ 200, "max-age=5, must-revalidate, stale-if-error=3", NULL, NULL, false, true, 5, 0, 0, 0 },
		{ 200, "MAX-AGE=\"5\"", "age", "3", false, true, 2, 3, 20, 30 },
		{ 200, "max-age=x", NULL, NULL, false, true, 0, 0, 20, 30 },
		{ 200, "max-age=99999999999999999999", NULL, NULL, false, true, 365 * 86400, 0, 20, 30 },
		{ 200, "no-cache", NULL, NULL, false, false, 0, 0, 0, 0 },
		{ 200, "no-cache=\"set-cookie\"", NULL, NULL, false, false, 0, 0, 0, 0 },
		{ 200, "private", NULL, NULL, false, false, 0, 0, 0, 0 },
		{ 200, "public, no-store", NULL, NULL, false, false, 0, 0, 0, 0 },
		{ 200, "max-age=0, must-revalidate", NULL, NULL, false, false, 0, 0, 0, 0 },
		{ 200, NULL, "set-cookie", "a=b", false, false, 0, 0, 0, 0 },
		{ 200, NULL, "content-type", "text/event-stream; x", false, false, 0, 0, 0, 0 },
		{ 200, NULL, "expires", "Sun, 06 Nov 1994 08:49:47 GMT", false, true, 10, 0, 20, 30 },
		{ 200, NULL, "expires", "Sun, 06 Nov 1994 08:49:07 GMT", false, true, 0, 0, 20, 30 },
		{ 200, NULL, "expires", "0", false, true, 0, 0, 20, 30 },
		{ 200, "max-age=60", "date", "Sun, 06 Nov 1994 08:49:07 GMT", false, true, 30, 30, 20, 30 },
		{ 200, "max-age=60", "date", "Sun, 06 Nov 1994 08:50:07 GMT", false, true, 60, 0, 20, 30 },
	};
	(void)state;
	for (unsigned i = 0; i < sizeof(table) / sizeof(*table); i++) {
		const struct row *row = &table[i];
		struct reply r = { .status = row->status };
		struct arena arena;
		struct cache_terms t;
		arena_init(&arena, NULL, 65536);
		assert_true(fields_init(&r.fields, &arena, 4));
		if (row->control)
			assert_true(fields_add(&r.fields, SPAN("Cache-Control"), span_of(row->control)));
		if (row->name)
			assert_true(fields_add(&r.fields, span_of(row->name), span_of(row->value)));
		bool kept = cache_terms_of(&r, row->personal, &wishes, NOW_MS, &t);
		if (kept != row->kept || (kept && (t.fresh_us != row->fresh_s * S || t.age_us != row->age_s * S
				|| t.revalidate_us != row->revalidate_s * S || t.error_us != row->error_s * S)))
			fail_msg("row %u: kept %d fresh %llu age %llu revalidate %llu error %llu", i, kept, (unsigned long long)t.fresh_us,
				(unsigned long long)t.age_us, (unsigned long long)t.revalidate_us, (unsigned long long)t.error_us);
		arena_fini(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(terms) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
