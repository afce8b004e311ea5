/* test_map.c - adding, finding, removing and walking, against an array that says who is in. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/list.h"
#include "base/map.h"
#include "base/rand.h"

enum { N = 2000 };
struct item { struct map_entry entry; char key[16]; bool in, seen; };
static struct item item[N];

static struct span key_of(struct item *it) { return span_of(it->key); }
static struct item *item_of(struct map_entry *e) { return container_of(e, struct item, entry); }

static int name_items(void **state)
{
	(void)state;
	for (int i = 0; i < N; i++) {
		item[i] = (struct item){ .in = false };
		snprintf(item[i].key, sizeof(item[i].key), "key-%d", i);
	}
	return 0;
}

static void check(const struct map *m, size_t count)
{
	size_t walked = 0;

	for (int i = 0; i < N; i++)
		item[i].seen = false;
	for (struct map_entry *e = map_next(m, NULL); e; e = map_next(m, e), walked++) {
		assert_true(item_of(e)->in && !item_of(e)->seen);
		item_of(e)->seen = true;
	}
	assert_int_equal(walked, count);
	assert_int_equal(m->count, count);
	for (int i = 0; i < N; i++)
		assert_ptr_equal(map_find(m, key_of(&item[i])), item[i].in ? &item[i].entry : NULL);
}

static void agrees_with_a_list_of_who_is_in(void **state)
{
	(void)state;
	struct map m;
	struct rand r;
	size_t count = 0;

	rand_seed(&r, 5);
	map_init(&m, N, 99);
	check(&m, 0);
	for (int i = 0; i < 20000; i++) {
		struct item *it = &item[rand_below(&r, N)];
		if (!it->in)
			assert_true(map_add(&m, &it->entry, key_of(it)));
		else
			map_remove(&m, &it->entry);
		it->in = !it->in;
		count += it->in ? 1 : (size_t)-1;
		if (i % 1000 == 0)
			check(&m, count);
	}
	check(&m, count);
	assert_true(m.size >= count && m.size <= 2 * N);
	map_fini(&m);
	assert_null(map_find(&m, SPAN("key-1")));
	assert_null(map_next(&m, NULL));
}

static void is_bounded(void **state)
{
	(void)state;
	struct map m;

	map_init(&m, 3, 1);
	for (int i = 0; i < 3; i++)
		assert_true(map_add(&m, &item[i].entry, key_of(&item[i])));
	assert_false(map_add(&m, &item[3].entry, key_of(&item[3])));
	assert_null(map_find(&m, key_of(&item[3])));
	map_remove(&m, &item[1].entry);
	assert_true(map_add(&m, &item[3].entry, key_of(&item[3])));
	map_fini(&m);
	map_init(&m, 0, 1);
	assert_false(map_add(&m, &item[0].entry, key_of(&item[0])));
	map_fini(&m);
}

static void entries_may_go_while_walking(void **state)
{
	(void)state;
	struct map m;
	unsigned removed = 0;

	map_init(&m, N, 4);
	for (int i = 0; i < 500; i++)
		assert_true(map_add(&m, &item[i].entry, key_of(&item[i])));
	for (struct map_entry *e = map_next(&m, NULL), *next; e; e = next, removed++) {
		next = map_next(&m, e);
		map_remove(&m, e);
	}
	assert_int_equal(removed, 500);
	assert_int_equal(m.count, 0);
	map_fini(&m);
}

static void the_seed_decides_where_keys_go(void **state)
{
	(void)state;
	struct map a, b;
	unsigned same = 0;

	map_init(&a, N, 1);
	map_init(&b, N, 2);
	for (int i = 0; i < 100; i++) {
		assert_true(map_add(&a, &item[i].entry, key_of(&item[i])));
		uint64_t hash = item[i].entry.hash;
		map_remove(&a, &item[i].entry);
		assert_true(map_add(&b, &item[i].entry, key_of(&item[i])));
		same += hash == item[i].entry.hash;
	}
	assert_int_equal(same, 0);
	map_fini(&a);
	map_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(agrees_with_a_list_of_who_is_in, name_items),
		cmocka_unit_test_setup(is_bounded, name_items),
		cmocka_unit_test_setup(entries_may_go_while_walking, name_items),
		cmocka_unit_test_setup(the_seed_decides_where_keys_go, name_items),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
