/* test_discover.c - sets of endpoints: who stays, who comes, who goes, and in which order. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/rand.h"
#include "core/discover.h"

static struct conf snapshot;
static const struct conf_upstream by_dns = { .name = { "u", 1 }, .discovery = CONF_DNS };
static struct upstream *u;

static int open_upstream(void **state)
{
	(void)state;
	snapshot.refs = 2;                        /* never freed: it has no arena */
	u = upstream_new(&snapshot, &by_dns);
	return u ? 0 : -1;
}

static int close_upstream(void **state)
{
	(void)state;
	upstream_unref(u);
	return 0;
}

static bool merge(const struct found *found, unsigned count)
{
	struct endpoint_set *next;
	assert_true(discover_merge(u, found, count, &next));
	if (next)
		upstream_replace(u, next);
	return next != NULL;
}

static void set_is(const char *wanted)
{
	char got[512] = "";
	for (unsigned i = 0; i < u->set->count; i++)
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s" SPAN_FMT "*%u", i ? " " : "", SPAN_ARG(u->set->at[i]->name),
			(unsigned)u->set->at[i]->weight);
	assert_string_equal(got, wanted);
}

#define HOST(text, number, share) { SPAN(text), number, share }

static void first_and_same(void **state)
{
	const struct found two[] = { HOST("10.0.0.1", 80, 1), HOST("fd00::1", 80, 1) };
	const struct found turned[] = { HOST("fd00::1", 80, 1), HOST("10.0.0.1", 80, 1) };
	(void)state;
	assert_true(merge(two, 2));
	set_is("10.0.0.1:80*1 [fd00::1]:80*1");
	assert_int_equal(u->set->weight_total, 2);
	assert_int_equal(u->set->at[0]->address_count, 1);                /* literal: needs no resolver */
	assert_int_equal(u->set->at[0]->host.len, 0);
	assert_false(merge(two, 2));
	assert_false(merge(turned, 2));
	assert_int_equal(u->generation, 1);
}

static void some_stay(void **state)
{
	const struct found before[] = { HOST("a", 1, 1), HOST("b", 1, 1), HOST("c", 1, 1) };
	const struct found after[] = { HOST("d", 1, 1), HOST("C", 1, 1), HOST("a", 1, 1) };
	(void)state;
	merge(before, 3);
	struct endpoint *a = u->set->at[0], *c = u->set->at[2];
	assert_true(merge(after, 3));
	set_is("a:1*1 c:1*1 d:1*1");
	assert_ptr_equal(u->set->at[0], a);
	assert_ptr_equal(u->set->at[1], c);
	assert_int_equal(u->set->at[2]->host.len, 1);
}

static void another_port_is_another(void **state)
{
	const struct found before[] = { HOST("a", 1, 1) }, after[] = { HOST("a", 2, 1) };
	(void)state;
	merge(before, 1);
	uint64_t id = u->set->at[0]->id;
	assert_true(merge(after, 1));
	set_is("a:2*1");
	assert_true(u->set->at[0]->id != id);
}

static void all_gone(void **state)
{
	const struct found before[] = { HOST("a", 1, 1) };
	(void)state;
	merge(before, 1);
	assert_true(merge(NULL, 0));
	set_is("");
	assert_false(merge(NULL, 0));
}

static void twins_and_weights(void **state)
{
	const struct found found[] = { HOST("a", 1, 0), HOST("a", 1, 0), HOST("b", 1, 7) };
	(void)state;
	merge(found, 3);
	set_is("a:1*1 b:1*7");
	assert_int_equal(u->set->weight_total, 8);
}

static void successor_inherits(void **state)
{
	const struct found before[] = { HOST("a", 1, 1), HOST("b", 1, 1) }, after[] = { HOST("a", 1, 1), HOST("b", 1, 3) };
	const struct address at = { .len = 16 };
	(void)state;
	merge(before, 2);
	struct endpoint *a = u->set->at[0], *b = u->set->at[1];
	b->unhealthy = true;
	b->ejected_until_us = 77;
	b->ejections = 2;
	memcpy(b->last_error, "refused", 8);
	endpoint_resolved(b, &at, 1, REASON_NONE);
	endpoint_ref(b);
	assert_true(merge(after, 2));
	set_is("a:1*1 b:1*3");
	struct endpoint *next = u->set->at[1];
	assert_ptr_equal(u->set->at[0], a);
	assert_ptr_not_equal(next, b);
	assert_true(next->unhealthy && next->ejected_until_us == 77 && next->ejections == 2 && next->address_count == 1);
	assert_string_equal(next->last_error, "refused");
	endpoint_unref(b);
}

static void bounded(void **state)
{
	static struct found many[DISCOVER_MAX + 5];
	static char text[DISCOVER_MAX + 5][16];
	(void)state;
	for (unsigned i = 0; i < DISCOVER_MAX + 5; i++) {
		snprintf(text[i], sizeof(text[i]), "10.0.%u.%u", i / 256, i % 256);
		many[i] = (struct found){ span_of(text[i]), 80, 1 };
	}
	merge(many, DISCOVER_MAX + 5);
	assert_int_equal(u->set->count, DISCOVER_MAX);
}

/* Random sets one after the other: the set is what was found, and whoever was there before is the same object. */
static void random_sets(void **state)
{
	struct rand r;
	(void)state;
	rand_seed(&r, 5);
	for (int round = 0; round < 500; round++) {
		char text[8][8];
		struct found found[8];
		unsigned count = 0;
		for (unsigned i = 0; i < 8; i++) {
			if (rand_below(&r, 2))
				continue;
			snprintf(text[count], sizeof(text[0]), "h%u", i);
			found[count] = (struct found){ span_of(text[count]), 80, 1 };
			count++;
		}
		struct endpoint_set *old = upstream_endpoints(u);
		merge(found, count);
		assert_int_equal(u->set->count, count);
		for (unsigned i = 0; i < count; i++) {
			bool listed = false;
			for (unsigned j = 0; j < count; j++)
				listed |= span_eq(u->set->at[i]->host, found[j].host);
			assert_true(listed);
			for (unsigned j = 0; j < old->count; j++)
				assert_true(old->at[j] == u->set->at[i] || !span_eq(old->at[j]->name, u->set->at[i]->name));
		}
		endpoint_set_unref(old);
	}
}

int main(void)
{
#define WITH_UPSTREAM(name) cmocka_unit_test_setup_teardown(name, open_upstream, close_upstream)
	const struct CMUnitTest tests[] = {
		WITH_UPSTREAM(first_and_same), WITH_UPSTREAM(some_stay), WITH_UPSTREAM(another_port_is_another), WITH_UPSTREAM(all_gone),
		WITH_UPSTREAM(twins_and_weights), WITH_UPSTREAM(successor_inherits), WITH_UPSTREAM(bounded), WITH_UPSTREAM(random_sets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
