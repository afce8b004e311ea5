/* test_fields.c - names to ids, and the list. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "http/fields.h"

static const char *const known[FIELD_IDS] = {
	[FIELD_OTHER] = "",
#define X(word, name, hop) [FIELD_##word] = name,
	FIELD_NAMES(X)
#undef X
};

/* Where fields.c must look for a name; printed when it does not find it, for whoever adds one. */
static unsigned slot_of(const char *name)
{
	size_t n = strlen(name);
	uint32_t key = (uint32_t)n | (uint32_t)name[n - 1] << 8 | (uint32_t)name[n - 2] << 16 | (uint32_t)name[0] << 24;

	return key * 0x86ac1709u >> 25;
}

static void every_name_has_its_id(void **state)
{
	(void)state;
	for (unsigned id = 1; id < FIELD_IDS; id++) {
		char upper[64] = "", odd[64] = "";
		size_t n = strlen(known[id]);

		if (field_id_of(span_of(known[id])) != id)
			fail_msg("'%s' is not in the table of fields.c; its slot is [%u]", known[id], slot_of(known[id]));
		for (size_t i = 0; i < n; i++) {
			upper[i] = known[id][i] >= 'a' && known[id][i] <= 'z' ? (char)(known[id][i] - 32) : known[id][i];
			odd[i] = i & 1 ? upper[i] : known[id][i];
		}
		assert_int_equal(field_id_of((struct span){ upper, n }), id);
		assert_int_equal(field_id_of((struct span){ odd, n }), id);
		assert_string_equal(field_id_name(id), known[id]);
	}
}

/* One byte off, one short, one long: another name. */
static void near_names_are_others(void **state)
{
	(void)state;
	for (unsigned id = 1; id < FIELD_IDS; id++) {
		size_t n = strlen(known[id]);
		char name[64];

		for (size_t at = 0; at < n; at++)
			for (int c = 0; c < 256; c++) {
				memcpy(name, known[id], n);
				name[at] = (char)c;
				if (char_lower(name[at]) == known[id][at])
					continue;
				assert_int_not_equal(field_id_of((struct span){ name, n }), id);
			}
		memcpy(name, known[id], n);
		name[n] = 's';
		assert_int_not_equal(field_id_of((struct span){ name, n + 1 }), id);
		assert_int_not_equal(field_id_of((struct span){ name, n - 1 }), id);
		assert_int_not_equal(field_id_of((struct span){ name + 1, n - 1 }), id);
	}
	assert_int_equal(field_id_of(SPAN("")), FIELD_OTHER);
	assert_int_equal(field_id_of(SPAN("x")), FIELD_OTHER);
	assert_int_equal(field_id_of(SPAN("a-name-that-is-longer-than-any-that-we-know")), FIELD_OTHER);
}

static void hop_by_hop(void **state)
{
	(void)state;
	assert_true(field_id_is_hop_by_hop(FIELD_CONNECTION));
	assert_true(field_id_is_hop_by_hop(FIELD_TRANSFER_ENCODING));
	assert_true(field_id_is_hop_by_hop(FIELD_UPGRADE));
	assert_false(field_id_is_hop_by_hop(FIELD_HOST));
	assert_false(field_id_is_hop_by_hop(FIELD_OTHER));
}

static void tokens(void **state)
{
	(void)state;
	assert_true(field_name_is_token(SPAN("A-z_0!#$%&'*+.^`|~")));
	assert_false(field_name_is_token(SPAN("")));
	for (int c = 0; c < 256; c++) {
		char name[3] = { 'a', (char)c, 'b' };
		bool token = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
			(c && c < 128 && strchr("!#$%&'*+-.^_`|~", c));

		assert_int_equal(field_name_is_token((struct span){ name, 3 }), token);
	}
}

/* Each byte at each place of a value long enough for the word-wise look and its rest. */
static void safe_values(void **state)
{
	(void)state;
	assert_true(field_value_is_safe(SPAN("")));
	assert_true(field_value_is_safe(SPAN("a \t b")));
	assert_false(field_value_is_safe(SPAN(" a")));
	assert_false(field_value_is_safe(SPAN("a ")));
	assert_false(field_value_is_safe(SPAN("\ta")));
	assert_false(field_value_is_safe(SPAN("a\t")));
	for (int c = 0; c < 256; c++)
		for (size_t at = 1; at < 20; at++) {
			char value[21];
			bool safe = (c >= 32 && c != 127) || c == '\t';

			memset(value, 'x', sizeof value);
			value[at] = (char)c;
			assert_int_equal(field_value_is_safe((struct span){ value, 21 }), safe);
			if (at > 1)
				value[at - 1] = '\t';     /* must not hide it */
			assert_int_equal(field_value_is_safe((struct span){ value, 21 }), safe);
		}
}

static void list(void **state)
{
	struct arena arena;
	struct fields f;

	(void)state;
	arena_init(&arena, NULL, 1 << 16);
	assert_true(fields_init(&f, &arena, 6));
	assert_true(fields_add(&f, SPAN("Set-Cookie"), SPAN("a")));
	assert_true(fields_add(&f, SPAN("X-One"), SPAN("1")));
	assert_true(fields_add(&f, SPAN("set-cookie"), SPAN("b")));
	assert_true(fields_add_id(&f, FIELD_VIA, SPAN("v")));
	assert_true(fields_add(&f, SPAN("x-one"), SPAN("2")));
	assert_true(fields_add(&f, SPAN("X-Two"), SPAN("3")));
	assert_false(fields_add(&f, SPAN("X-Three"), SPAN("4")));
	assert_false(fields_add_id(&f, FIELD_DATE, SPAN("4")));
	assert_int_equal(f.count, 6);
	assert_true(fields_have(&f, FIELD_SET_COOKIE) && fields_have(&f, FIELD_VIA) && !fields_have(&f, FIELD_DATE));
	assert_false(fields_have(&f, FIELD_OTHER));
	assert_ptr_equal(fields_find(&f, FIELD_SET_COOKIE), &f.at[0]);
	assert_true(span_eq(fields_value(&f, FIELD_VIA), SPAN("v")));
	assert_null(fields_value(&f, FIELD_DATE).at);
	assert_ptr_equal(fields_find_name(&f, SPAN("X-ONE")), &f.at[1]);
	assert_ptr_equal(fields_find_name(&f, SPAN("VIA")), &f.at[3]);
	assert_null(fields_find_name(&f, SPAN("x-none")));
	assert_true(span_eq(f.at[3].name, SPAN("via")));
	fields_drop(&f, FIELD_SET_COOKIE);
	assert_int_equal(f.count, 4);
	assert_false(fields_have(&f, FIELD_SET_COOKIE));
	assert_true(span_eq(f.at[0].name, SPAN("X-One")) && span_eq(f.at[1].value, SPAN("v")));
	fields_drop(&f, FIELD_DATE);
	fields_drop_name(&f, SPAN("X-one"));
	assert_int_equal(f.count, 2);
	assert_true(span_eq(f.at[0].value, SPAN("v")) && span_eq(f.at[1].value, SPAN("3")));
	fields_drop_name(&f, SPAN("Via"));
	assert_int_equal(f.count, 1);
	assert_false(fields_have(&f, FIELD_VIA));
	arena_fini(&arena);
}

static void no_memory(void **state)
{
	struct arena arena;
	struct fields f;

	(void)state;
	arena_init(&arena, NULL, 8);
	assert_false(fields_init(&f, &arena, 4));
	assert_false(fields_add(&f, SPAN("a"), SPAN("b")));
	arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_name_has_its_id), cmocka_unit_test(near_names_are_others), cmocka_unit_test(hop_by_hop),
		cmocka_unit_test(tokens), cmocka_unit_test(safe_values), cmocka_unit_test(list), cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
