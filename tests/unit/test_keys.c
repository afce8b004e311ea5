/* test_keys.c - a source of keys: who shares it, who holds which set, and when an early fetch is asked for. */
#include <stdlib.h>

#include "core/keys.h"
#include "unit.h"

static unsigned freed;
static enum key_verdict verify(const struct key_set *s, enum jws_alg alg, struct span kid, struct span token)
{
	(void)s; (void)alg; (void)kid; (void)token;
	return KEY_FITS;
}
static void forget(struct key_set *s) { free(s); freed++; }
static const struct key_set_ops ops = { verify, forget };

static struct key_set *set_of(unsigned count)
{
	struct key_set *s = calloc(1, sizeof(*s));
	assert_non_null(s);
	*s = (struct key_set){ &ops, 1, count };
	return s;
}

static const struct key_terms minute = { 60000000, 1000 }, hour = { 3600000000, 2000 };
static struct shared *shared;

static void test_sets_live_as_long_as_somebody_holds_them(void **state)
{
	uint64_t serial = 99;
	(void)state;
	struct key_source *a = key_source_take(shared, SPAN("https://id.example/keys"), &minute);
	struct key_source *b = key_source_take(shared, SPAN("https://id.example/keys"), &hour), *c = key_source_take(shared, SPAN("file:/keys"), &hour);
	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, c);
	assert_int_equal(a->users, 2);
	assert_int_equal(a->terms.refresh_us, hour.refresh_us);
	assert_null(key_source_set(a, &serial));
	assert_true(serial == 0 && key_source_serial(a) == 0);
	freed = 0;
	key_source_publish(a, set_of(1), 10);
	struct key_set *held = key_source_set(a, &serial);
	assert_int_equal(serial, 1);
	key_source_publish(a, set_of(2), 20);
	assert_int_equal(freed, 0);
	assert_int_equal(held->count, 1);
	key_set_unref(held);
	assert_int_equal(freed, 1);
	assert_int_equal(key_source_serial(b), 2);
	key_source_give(shared, a);
	assert_int_equal(freed, 1);
	key_source_give(shared, b);
	assert_int_equal(freed, 2);
	key_source_give(shared, c);
	key_set_unref(NULL);
}

static unsigned woken;
static void wake(void *waker) { *(unsigned *)waker += 1; }

static void test_asking_early(void **state)
{
	(void)state;
	struct key_source *s = key_source_take(shared, SPAN("u"), &minute);
	woken = 0;
	assert_false(key_source_want(s, 100));    /* nobody fetches */
	key_source_wake_by(s, wake, &woken);
	assert_true(key_source_want(s, 100));
	assert_true(key_source_want(s, 101));
	assert_int_equal(woken, 1);
	assert_int_equal(key_source_attempts(s), 0);
	key_source_ended(s, 1000);
	assert_int_equal(key_source_attempts(s), 1);
	assert_false(key_source_want(s, 999));
	assert_true(key_source_want(s, 1000));
	assert_int_equal(woken, 2);
	key_source_give(shared, s);
}

static void test_what_is_remembered_of_fetches(void **state)
{
	(void)state;
	struct key_source *s = key_source_take(shared, SPAN("u"), &minute);
	char memory[400], longer[300];
	struct text t;
	text_over(&t, memory, sizeof(memory));
	key_source_kind.summary(s, 5, &t);
	assert_span(text_span(&t), "no keys yet");
	key_source_keep(s, "cannot connect", 1000000);
	text_over(&t, memory, sizeof(memory));
	key_source_kind.summary(s, 5, &t);
	assert_span(text_span(&t), "no keys yet; last try: cannot connect");
	key_source_publish(s, set_of(1), 2000000);
	text_over(&t, memory, sizeof(memory));
	key_source_kind.summary(s, 5000000, &t);
	assert_span(text_span(&t), "1 key, 3 s old");
	key_source_keep(s, NULL, 4000000);
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	key_source_keep(s, longer, 9000000);
	assert_int_equal(strlen(s->state.error), KEY_ERROR_MAX - 1);
	assert_true(s->state.fetched == 1 && s->state.unchanged == 1 && s->state.failed == 2 && s->state.fetched_us == 4000000);
	text_over(&t, memory, sizeof(memory));
	struct json j;
	json_init(&j, &t);
	json_open(&j, NULL, '{');
	key_source_keep(s, "gone", 9000000);
	key_source_kind.state(s, 6000000, &j);
	json_close(&j, '}');
	assert_span(text_span(&t), "{\"keys\":1,\"age_s\":2.0,\"fetched\":1,\"unchanged\":1,\"failed\":3,\"error\":\"gone\"}");
	key_source_give(shared, s);
}

static void test_names_of_algorithms(void **state)
{
	enum jws_alg alg;
	(void)state;
	for (unsigned i = 0; i < JWS_ALG_COUNT; i++)
		assert_true(jws_alg_of(span_of(jws_alg_name((enum jws_alg)i)), &alg) && alg == i);
	assert_false(jws_alg_of(SPAN("none"), &alg));
	assert_false(jws_alg_of(SPAN(""), &alg));
	assert_false(jws_alg_of(SPAN("RS25"), &alg));
	assert_false(jws_alg_of(SPAN_NONE, &alg));
}

static int open_shared(void **state) { (void)state; shared = shared_new(); return shared ? 0 : -1; }
static int close_shared(void **state) { (void)state; shared_free(shared); return 0; }

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sets_live_as_long_as_somebody_holds_them, open_shared, close_shared),
		cmocka_unit_test_setup_teardown(test_asking_early, open_shared, close_shared),
		cmocka_unit_test_setup_teardown(test_what_is_remembered_of_fetches, open_shared, close_shared),
		cmocka_unit_test(test_names_of_algorithms),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
