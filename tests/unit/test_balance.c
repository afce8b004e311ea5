/* test_balance.c - the arithmetic behind balance: the average that believes peaks, and the ring with bounded loads; then both in a world. */
#include "unit.h"

#include <limits.h>
#include <stdio.h>

#include "../../src/policy/ewma.h"
#include "../../src/policy/ring.h"
#include "simple.h"

enum { MS = 1000, SECOND = 1000000 };

/* ── ewma ── */

static void test_a_peak_is_believed_at_once(void **state)
{
	struct ewma e = { 0 };
	(void)state;
	assert_int_equal(ewma_now(e, 5 * SECOND), 0);
	e = ewma_answered(e, SECOND, 10 * MS);
	assert_int_equal(e.ns, 10000000);
	e = ewma_answered(e, SECOND + 1, 900 * MS);
	assert_int_equal(e.ns, 900000000);
}

static void test_it_fades_by_time_not_by_number(void **state)
{
	struct ewma few, many = { 0 };
	(void)state;
	few = many = ewma_answered(many, SECOND, 1000 * MS);
	for (unsigned i = 1; i <= 10000; i++)             /* ten seconds of quick answers, one each millisecond ... */
		many = ewma_answered(many, SECOND + i * MS, 0);
	few = ewma_answered(few, 11 * SECOND, 0);         /* ... or a single one at their end */
	assert_true(few.ns > 367000000 && few.ns < 369000000);        /* 1/e */
	assert_true(many.ns > 360000000 && many.ns < 369000000);
	assert_true(ewma_now(few, 21 * SECOND) < 136000000);          /* it fades with no answers too: who was slow gets another chance */
	assert_int_equal(ewma_now(few, SECOND), few.ns);              /* another worker's clock is a little behind */
}

static void test_a_failure_is_never_quick(void **state)
{
	struct ewma e = { 0 };
	(void)state;
	e = ewma_failed(e, SECOND, 0);
	assert_int_equal(e.ns, EWMA_FAILED_NS);
	e = ewma_failed(e, SECOND, 10);
	assert_int_equal(e.ns, 2 * EWMA_FAILED_NS);
	e = ewma_failed(e, SECOND, 5 * SECOND);
	assert_int_equal(e.ns, 5000000000);
	for (unsigned i = 0; i < 100; i++)
		e = ewma_failed(e, SECOND, UINT64_MAX / 2000);
	assert_int_equal(e.ns, EWMA_MAX_NS);
}

static void test_who_leaves_says_at_least_so_long(void **state)
{
	struct ewma e = { 0 };
	(void)state;
	e = ewma_unanswered(e, SECOND, 20 * MS);          /* of whom nothing is known, a client that leaves at once says nothing */
	assert_int_equal(e.at_us, 0);
	e = ewma_unanswered(e, SECOND, 3 * SECOND);
	assert_int_equal(e.ns, 3000000000);
	e = ewma_unanswered(e, SECOND, 2 * SECOND);
	assert_int_equal(e.ns, 3000000000);
}

static void test_costs(void **state)
{
	struct ewma none = { 0 }, quick = ewma_answered(none, SECOND, 10 * MS), slow = ewma_answered(none, SECOND, 100 * MS);
	(void)state;
	assert_true(ewma_cost(quick, SECOND, 8, 1) < ewma_cost(slow, SECOND, 0, 1));
	assert_true(ewma_cost(quick, SECOND, 10, 1) > ewma_cost(slow, SECOND, 0, 1));
	assert_true(ewma_cost(quick, SECOND, 1, 2) <= ewma_cost(quick, SECOND, 0, 1));
	assert_true(ewma_cost(none, SECOND, 0, 1) < ewma_cost(quick, SECOND, 0, 1));          /* a new one gets a first request ... */
	assert_true(ewma_cost(none, SECOND, 1, 1) > ewma_cost(slow, SECOND, 500, 1));         /* ... and no second before its answer */
	assert_true(ewma_cost(none, SECOND, 3, 1) > ewma_cost(none, SECOND, 2, 1));           /* all are new: the less busy one */
}

/* ── ring ── */

enum { KEYS = 20000, MEMBERS = 8 };
static char names[MEMBERS][32];
static struct ring_member members[MEMBERS];
static bool out[MEMBERS];
static uint64_t load[MEMBERS], total, weights;

static void name_members(unsigned count)
{
	memset(out, 0, sizeof(out));
	for (unsigned i = 0; i < count; i++) {
		snprintf(names[i], sizeof(names[i]), "10.0.0.%u:8080", i + 1);
		members[i] = (struct ring_member){ span_of(names[i]), 1 };
	}
}

static uint64_t key(unsigned i)
{
	struct rand r;
	rand_seed(&r, i);
	return rand_next(&r);
}

static bool is_in(const void *self, unsigned who) { (void)self; return !out[who]; }
static bool has_room(const void *self, unsigned who) { (void)self; return !out[who] && ring_has_room(load[who], members[who].weight, total, weights); }

static void test_shares_follow_weights(void **state)
{
	unsigned got[3] = { 0 };
	struct ring ring;
	(void)state;
	name_members(3);
	members[2].weight = 2;
	assert_true(ring_build(&ring, members, 3));
	assert_int_equal(ring.count, 4 * RING_POINTS);
	for (unsigned i = 0; i < KEYS; i++)
		got[ring_find(&ring, key(i), is_in, NULL)]++;
	assert_true(got[0] > KEYS / 4 * 7 / 10 && got[0] < KEYS / 4 * 13 / 10);
	assert_true(got[1] > KEYS / 4 * 7 / 10 && got[1] < KEYS / 4 * 13 / 10);
	assert_true(got[2] > KEYS / 2 * 8 / 10 && got[2] < KEYS / 2 * 12 / 10);
	ring_fini(&ring);
}

static void test_only_the_keys_of_who_is_out_move(void **state)
{
	struct ring ring;
	unsigned moved[MEMBERS] = { 0 }, to = 0;
	(void)state;
	name_members(5);
	assert_true(ring_build(&ring, members, 5));
	for (unsigned i = 0; i < KEYS; i++) {
		out[2] = false;
		unsigned before = ring_find(&ring, key(i), is_in, NULL);
		out[2] = true;
		unsigned after = ring_find(&ring, key(i), is_in, NULL);
		assert_true(before == 2 ? after != 2 : after == before);
		if (before == 2)
			moved[after]++;
	}
	for (unsigned i = 0; i < 5; i++)                  /* and they go to all the others, not to one */
		to += moved[i] > 0;
	assert_int_equal(to, 4);
	ring_fini(&ring);
}

static void test_a_newcomer_takes_its_part_and_no_more(void **state)
{
	struct ring before, after;
	unsigned moved = 0;
	(void)state;
	name_members(5);
	assert_true(ring_build(&before, members, 4) && ring_build(&after, members, 5));
	for (unsigned i = 0; i < KEYS; i++) {
		unsigned old = ring_find(&before, key(i), is_in, NULL), new = ring_find(&after, key(i), is_in, NULL);
		assert_true(old == new || new == 4);
		moved += old != new;
	}
	assert_true(moved > KEYS / 5 * 7 / 10 && moved < KEYS / 5 * 13 / 10);
	ring_fini(&before);
	ring_fini(&after);
}

static void test_the_order_of_the_list_does_not_matter(void **state)
{
	struct ring one, other;
	struct ring_member turned[4];
	(void)state;
	name_members(4);
	for (unsigned i = 0; i < 4; i++)
		turned[i] = members[3 - i];
	assert_true(ring_build(&one, members, 4) && ring_build(&other, turned, 4));
	for (unsigned i = 0; i < KEYS; i++)
		assert_int_equal(ring_find(&one, key(i), is_in, NULL), 3 - ring_find(&other, key(i), is_in, NULL));
	ring_fini(&one);
	ring_fini(&other);
}

/* One key that everybody asks for: nobody gets more than a quarter above his share (rounded up), and all get in. */
static void test_loads_are_bounded(void **state)
{
	struct ring ring;
	(void)state;
	name_members(4);
	members[3].weight = 3;
	weights = 6;
	total = 0;
	memset(load, 0, sizeof(load));
	assert_true(ring_build(&ring, members, 4));
	for (unsigned i = 0; i < 600; i++) {
		unsigned who = ring_find(&ring, key(7), has_room, NULL);
		assert_int_not_equal(who, UINT_MAX);
		load[who]++;
		total++;
		for (unsigned k = 0; k < 4; k++)
			assert_true((double)load[k] < 1.25 * (double)total * (double)members[k].weight / 6 + 1);
	}
	assert_true(load[3] >= 250);
	ring_fini(&ring);
}

static void test_nobody(void **state)
{
	struct ring ring;
	(void)state;
	name_members(2);
	assert_true(ring_build(&ring, members, 2));
	out[0] = out[1] = true;
	assert_int_equal(ring_find(&ring, 1, is_in, NULL), UINT_MAX);
	ring_fini(&ring);
	assert_true(ring_build(&ring, NULL, 0));
	assert_int_equal(ring_find(&ring, 1, is_in, NULL), UINT_MAX);
	ring_fini(&ring);
}

static void test_a_ring_of_giants_is_bounded(void **state)
{
	struct ring ring;
	(void)state;
	name_members(MEMBERS);
	for (unsigned i = 0; i < MEMBERS; i++)
		members[i].weight = i ? 1000 : 1;
	assert_true(ring_build(&ring, members, MEMBERS));
	assert_true(ring.count <= RING_POINTS_MAX && ring.count > RING_POINTS_MAX / 4);
	unsigned points = 0;
	for (unsigned i = 0; i < ring.count; i++)
		points += ring.points[i].who == 0;
	assert_true(points >= 1);
	ring_fini(&ring);
}

/* ── in a world ── */

static unsigned asked(const struct world *w, const char *name)
{
	const struct script *s = &w->scripts[0];
	struct span rest = { s->asked, s->asked_len }, one;
	unsigned n = 0;
	while (rest.len && span_next(&rest, ' ', &one))
		n += span_eq(one, span_of(name));
	return n;
}

static void test_a_client_has_its_endpoint(void **state)
{
	struct world w;
	(void)state;
	simple_open(&w, &(struct simple){ .endpoints = "app-1:80 app-2:80 app-3:80", .service = "balance: ring_hash\nhash_key: header:x-user" });
	simple_deed(&w)->status = 200;
	for (unsigned i = 0; i < 12; i++)
		guest_field(world_guest(&w, i * MS, "GET", "/"), "x-user", "alice");
	world_run(&w);
	assert_true(asked(&w, "app-1:80") == 12 || asked(&w, "app-2:80") == 12 || asked(&w, "app-3:80") == 12);
	simple_finish(&w);
}

static void test_without_the_key_it_is_spread(void **state)
{
	struct world w;
	(void)state;
	simple_open(&w, &(struct simple){ .endpoints = "app-1:80 app-2:80", .service = "balance: ring_hash\nhash_key: [header:x-user, route]" });
	simple_deed(&w)->status = 200;
	for (unsigned i = 0; i < 16; i++)
		world_guest(&w, i * MS, "GET", "/");
	world_run(&w);
	assert_true(asked(&w, "app-1:80") > 2 && asked(&w, "app-2:80") > 2);
	simple_finish(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_peak_is_believed_at_once), cmocka_unit_test(test_it_fades_by_time_not_by_number),
		cmocka_unit_test(test_a_failure_is_never_quick), cmocka_unit_test(test_who_leaves_says_at_least_so_long), cmocka_unit_test(test_costs),
		cmocka_unit_test(test_shares_follow_weights), cmocka_unit_test(test_only_the_keys_of_who_is_out_move),
		cmocka_unit_test(test_a_newcomer_takes_its_part_and_no_more), cmocka_unit_test(test_the_order_of_the_list_does_not_matter),
		cmocka_unit_test(test_loads_are_bounded), cmocka_unit_test(test_nobody), cmocka_unit_test(test_a_ring_of_giants_is_bounded),
		cmocka_unit_test(test_a_client_has_its_endpoint), cmocka_unit_test(test_without_the_key_it_is_spread),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
