/* test_estate.c - what a crash leaves behind: requests in flight, halves that are whole, states of cores. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "app/estate.h"

/* ── requests in flight ── */

static struct worker worker = { .wall_ms = 1700000000000 };
static const struct conf_route shop = { .name = { "shop", 4 } };
static struct route route = { .conf = &shop };

static struct exchange exchange_of(const char *id)
{
	struct exchange ex = { .worker = &worker, .route = &route };
	ex.trace.request_id_len = (unsigned)strlen(id);
	memcpy(ex.trace.request_id, id, ex.trace.request_id_len);
	return ex;
}

static unsigned live(const struct estate *e)
{
	unsigned n = 0;
	for (unsigned i = 0; i < ESTATE_REQUESTS; i++)
		n += e->worker[0].request[i].live;
	return n;
}

static void test_requests(void **state)
{
	struct estate *e = estate_new(1);
	static struct estate_desk desk;
	(void)state;
	assert_non_null(e);
	estate_desk_init(&desk, e, 0);
	struct exchange a = exchange_of("one"), b = exchange_of("two"), never = exchange_of("three");
	estate_begin(&desk, &a);
	estate_begin(&desk, &b);
	assert_int_equal(live(e), 2);
	const struct estate_request *first = &e->worker[0].request[a.note - 1];
	assert_true(first->id_len == 3 && memcmp(first->id, "one", 3) == 0 && first->route_len == 4 && memcmp(first->route, "shop", 4) == 0);
	assert_true(first->since_ms == worker.wall_ms);
	estate_over(&desk, &a);
	assert_int_equal(live(e), 1);
	estate_over(&desk, &never);               /* over before it began: a client that was gone at once */
	assert_int_equal(live(e), 1);
	estate_next(e);
	assert_int_equal(live(e), 0);
	estate_free(e);
}

static void test_more_requests_than_places(void **state)
{
	struct estate *e = estate_new(1);
	static struct estate_desk desk;
	static struct exchange ex[ESTATE_REQUESTS + 3];
	char id[100];
	(void)state;
	estate_desk_init(&desk, e, 0);
	memset(id, 'x', sizeof(id));
	id[99] = '\0';                            /* longer than a place: cut */
	for (unsigned i = 0; i < ESTATE_REQUESTS + 3; i++) {
		ex[i] = exchange_of(id);
		estate_begin(&desk, &ex[i]);
	}
	assert_int_equal(live(e), ESTATE_REQUESTS);
	assert_int_equal(e->worker[0].beyond, 3);
	assert_int_equal(e->worker[0].request[0].id_len, ESTATE_ID);
	for (unsigned i = 0; i < ESTATE_REQUESTS + 3; i++)
		estate_over(&desk, &ex[i]);
	assert_int_equal(live(e), 0);
	assert_int_equal(e->worker[0].beyond, 0);
	estate_begin(&desk, &ex[0]);              /* every place is free again, the first one on top */
	assert_int_equal(desk.free_count, ESTATE_REQUESTS - 1);
	estate_free(e);
}

/* ── kept ── */

static void test_kept(void **state)
{
	struct estate *e = estate_new(1);
	(void)state;
	assert_int_equal(estate_kept(&e->conf).len, 0);
	estate_keep(&e->conf, SPAN("first"));
	assert_true(span_eq(estate_kept(&e->conf), SPAN("first")));
	estate_keep(&e->conf, SPAN("second"));
	assert_true(span_eq(estate_kept(&e->conf), SPAN("second")));
	/* a writer that dies in the middle has touched the other half only */
	e->conf.half[estate_kept(&e->conf).at == e->conf.half[0].bytes].bytes[0] = '!';
	assert_true(span_eq(estate_kept(&e->conf), SPAN("second")));
	char *large = calloc(1, ESTATE_KEPT + 1);
	estate_keep(&e->conf, (struct span){ large, ESTATE_KEPT + 1 });
	assert_int_equal(estate_kept(&e->conf).len, 0);
	estate_keep(&e->conf, SPAN_NONE);
	assert_int_equal(estate_kept(&e->conf).len, 0);
	free(large);
	estate_free(e);
}

/* ── states of cores ── */

struct counter { uint64_t n; bool restored; };
static bool counter_init(void *core, const void *with) { (void)core; (void)with; return true; }
static size_t counter_save(void *core, uint64_t now_us, void *to, size_t size)
{
	const struct counter *c = core;
	(void)now_us;
	if (!c->n || size < sizeof(c->n))
		return 0;
	memcpy(to, &c->n, sizeof(c->n));
	return sizeof(c->n);
}
static void counter_restore(void *core, const void *from, size_t len)
{
	struct counter *c = core;
	assert_int_equal(len, sizeof(c->n));
	memcpy(&c->n, from, len);
	c->restored = true;
}
static const struct core_kind kept_kind = {
	.name = "counter", .label = "route", .size = sizeof(struct counter), .init = counter_init, .save = counter_save, .restore = counter_restore,
};
static const struct core_kind other_kind = { .name = "count", .label = "route", .size = sizeof(struct counter), .init = counter_init };

/* In a child that dies without a word, as a server does. */
static void live_and_crash(struct estate *e)
{
	struct shared *s = shared_new();
	struct counter *a = shared_take(s, &kept_kind, SPAN("a"), NULL), *b = shared_take(s, &kept_kind, SPAN("b/c"), NULL);
	struct counter *nothing = shared_take(s, &kept_kind, SPAN("nothing"), NULL), *other = shared_take(s, &other_kind, SPAN("er/a"), NULL);
	nothing->n = 0;
	a->n = 7;
	b->n = 9;
	other->n = 11;
	estate_save_cores(e, s, 1);
	b->n = 10;
	estate_save_cores(e, s, 2);
	abort();
}

static void test_cores(void **state)
{
	struct estate *e = estate_new(1);
	int status;
	(void)state;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		live_and_crash(e);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));

	struct span saved = estate_kept(&e->cores);
	struct shared *s = shared_new();
	shared_on_new(s, estate_restore_core, &saved);
	struct counter *b = shared_take(s, &kept_kind, SPAN("b/c"), NULL), *a = shared_take(s, &kept_kind, SPAN("a"), NULL);
	struct counter *nothing = shared_take(s, &kept_kind, SPAN("nothing"), NULL), *other = shared_take(s, &other_kind, SPAN("er/a"), NULL);
	assert_true(a->n == 7 && b->n == 10);
	assert_true(!nothing->restored && !other->restored);
	shared_on_new(s, NULL, NULL);
	shared_give(s, a);
	a = shared_take(s, &kept_kind, SPAN("a"), NULL);
	assert_true(!a->restored && a->n == 0);
	shared_give(s, a);
	shared_give(s, b);
	shared_give(s, nothing);
	shared_give(s, other);
	shared_free(s);
	estate_free(e);
}

/* Whatever stands there, reading it stays within it. */
static void test_nonsense_is_not_believed(void **state)
{
	struct counter c = { 0 };
	unsigned seed = 1;
	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		size_t len = round % 97;
		char *bytes = malloc(len + 1);        /* to its last byte the sanitizer's business */
		for (size_t i = 0; i < len; i++) {
			seed = seed * 1103515245 + 12345;
			bytes[i] = (char)(seed >> 16 & (round % 3 ? 7 : 255));
		}
		struct span saved = { bytes, len };
		estate_restore_core(&saved, &kept_kind, SPAN("x"), &c);
		free(bytes);
	}
}

/* ── the attic ── */

static void test_attic(void **state)
{
	enum { PAGE = 4096 };
	struct attic *a = attic_new(8 * PAGE);
	const struct lasting_ops *ops = &attic_ops;
	bool found;
	(void)state;
	assert_non_null(a);
	char *one = ops->take(a, SPAN("one"), 3 * PAGE, &found), *two = ops->take(a, SPAN("two"), 1, &found);
	assert_true(one && two && !found && one != two && one[0] == 0);
	assert_null(ops->take(a, SPAN("one"), 3 * PAGE, &found));            /* held */
	assert_null(ops->take(a, SPAN("large"), 9 * PAGE, &found));
	memset(one, 'x', 3 * PAGE);
	two[0] = 'y';
	assert_true(ops->give(a, one));
	char *again = ops->take(a, SPAN("one"), 3 * PAGE, &found);
	assert_true(again == one && !found && again[0] == 0 && again[3 * PAGE - 1] == 0);         /* the gap, and clean */
	again[7] = 'z';
	assert_false(ops->give(a, &found));

	attic_next(a);                            /* a crash */
	assert_null(ops->take(a, SPAN("one"), 2 * PAGE, &found));            /* of another size: not that one */
	assert_true(ops->take(a, SPAN("one"), 3 * PAGE, &found) == one && found && one[7] == 'z');
	attic_sweep(a);                           /* nobody wants "two" any more */
	char *three = ops->take(a, SPAN("three"), 5 * PAGE, &found);
	assert_true(three == two && !found && three[0] == 0);
	assert_null(ops->take(a, SPAN("four"), 1, &found));
	attic_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests), cmocka_unit_test(test_more_requests_than_places), cmocka_unit_test(test_kept), cmocka_unit_test(test_cores),
		cmocka_unit_test(test_nonsense_is_not_believed), cmocka_unit_test(test_attic),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
