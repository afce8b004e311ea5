/* test_shared.c - process-wide cores: made once, adapted, counted, seen. */
#include "unit.h"

#include "core/shared.h"

struct thing { int value, adapted; };
static int finished;

static bool thing_init(void *core, const void *with)
{
	((struct thing *)core)->value = *(const int *)with;
	return *(const int *)with >= 0;
}
static void thing_adapt(void *core, const void *with)
{
	((struct thing *)core)->value = *(const int *)with;
	((struct thing *)core)->adapted++;
}
static void thing_fini(void *core) { (void)core; finished++; }
static const struct core_kind thing = { .name = "thing", .label = "upstream", .size = sizeof(struct thing), .init = thing_init, .adapt = thing_adapt, .fini = thing_fini };
static const struct core_kind other = { .name = "other", .label = "route", .size = sizeof(struct thing), .init = thing_init };

static void test_one_core_per_kind_and_name(void **state)
{
	(void)state;
	struct shared *s = shared_new();
	struct thing *a = shared_take(s, &thing, SPAN("a"), &(int){ 1 }), *b = shared_take(s, &thing, SPAN("b"), &(int){ 2 });
	struct thing *o = shared_take(s, &other, SPAN("a"), &(int){ 3 });
	assert_ptr_not_equal(a, b);
	assert_ptr_not_equal(a, o);
	assert_ptr_equal(shared_take(s, &thing, SPAN("a"), &(int){ 7 }), a);
	assert_int_equal(a->value, 7);
	assert_int_equal(a->adapted, 1);
	assert_int_equal(b->value, 2);
	finished = 0;
	shared_give(s, a);
	assert_int_equal(finished, 0);
	shared_give(s, a);
	assert_int_equal(finished, 1);
	assert_int_equal(((struct thing *)shared_take(s, &thing, SPAN("a"), &(int){ 9 }))->adapted, 0);      /* a new one */
	shared_give(s, shared_take(s, &thing, SPAN("a"), &(int){ 9 }));
	shared_give(s, b);
	shared_give(s, o);
	shared_give(s, shared_take(s, &thing, SPAN("a"), &(int){ 9 }));
	struct thing *last = shared_take(s, &thing, SPAN("a"), &(int){ 9 });
	shared_give(s, last);
	shared_give(s, last);
	shared_free(s);
}

static void test_a_core_that_cannot_be_made(void **state)
{
	(void)state;
	struct shared *s = shared_new();
	assert_null(shared_take(s, &thing, SPAN("a"), &(int){ -1 }));
	struct thing *a = shared_take(s, &thing, SPAN("a"), &(int){ 1 });
	assert_non_null(a);
	shared_give(s, a);
	shared_free(s);
}

struct seen { char names[64]; struct text text; };
static void see(void *self, const struct core_kind *kind, struct span name, void *core)
{
	struct seen *seen = self;
	text_f(&seen->text, "%s/" SPAN_FMT "=%d ", kind->name, SPAN_ARG(name), ((struct thing *)core)->value);
}

static void test_looking_at_them(void **state)
{
	(void)state;
	struct shared *s = shared_new();
	void *cores[] = { shared_take(s, &thing, SPAN("a"), &(int){ 1 }), shared_take(s, &other, SPAN("a"), &(int){ 2 }), shared_take(s, &thing, SPAN("b"), &(int){ 3 }) };
	struct seen seen;
	text_over(&seen.text, seen.names, sizeof(seen.names));
	shared_each(s, NULL, see, &seen);
	shared_each(s, &thing, see, &seen);
	assert_true(shared_with(s, "other", SPAN("a"), see, &seen));
	assert_false(shared_with(s, "other", SPAN("b"), see, &seen));
	assert_span(text_span(&seen.text), "thing/a=1 other/a=2 thing/b=3 thing/a=1 thing/b=3 other/a=2 ");
	for (unsigned i = 0; i < 3; i++)
		shared_give(s, cores[i]);
	shared_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_core_per_kind_and_name),
		cmocka_unit_test(test_a_core_that_cannot_be_made),
		cmocka_unit_test(test_looking_at_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
