/* test_walk.c - the walker, with two puppets among the doors: one before retry, one inside it. The witnesses between all doors assert the
 * pairing rule in every test; what a test asserts itself is the rest. */
#include "unit.h"

#include <stdlib.h>

#include "base/must.h"

enum pay_when { AT_ONCE, WITHIN, AFTER_A_WHILE };       /* returned; LATER paid within the question; LATER paid by a timer */
struct puppet {
	struct policy base;
	enum answer admit, judge;                     /* 0 (LATER): stands for PASS */
	enum pay_when timing;
	enum reason refusal;                          /* in judge: replaces the reply                */
	uint64_t again_up_to;                         /* judge says AGAIN for the first n tries      */
	enum reason cut_with; uint64_t cut_after_us;  /* armed at admit                              */
	unsigned admitted, judged, settled;
	enum ending ending;
	int seen_status;
	enum reason seen_failure;
};
struct strings { struct timer timer, scissors; struct exchange *ex; struct puppet *puppet; enum answer owed; };

static struct puppet outer, inner;
static struct world w;

static void pay(struct timer *t)
{
	struct strings *s = container_of(t, struct strings, timer);
	exchange_answer(s->ex, s->owed);
}

static void cut(struct timer *t)
{
	struct strings *s = container_of(t, struct strings, scissors);
	worker_disarm(s->ex->worker, &s->timer);              /* who cuts owes no answer any more */
	exchange_cut(s->ex, s, s->puppet->cut_with);
}

static enum answer say(struct puppet *p, struct exchange *ex, struct strings *s, enum answer a)
{
	s->ex = ex;
	s->puppet = p;
	s->owed = a;
	if (p->timing == AT_ONCE)
		return a;
	if (p->timing == WITHIN)
		exchange_answer(ex, a);
	else
		worker_arm(ex->worker, &s->timer, ms(3), pay);
	return LATER;
}

static enum answer puppet_admit(struct policy *self, struct exchange *ex, void *slot)
{
	struct puppet *p = (struct puppet *)self;
	p->admitted++;
	if (p->admit == TURN)
		exchange_refuse(ex, REASON_rate_limited, 7, "No.");
	struct strings *s = slot;
	s->ex = ex;
	s->puppet = p;
	if (p->cut_with && p->admit != TURN)
		worker_arm(ex->worker, &s->scissors, p->cut_after_us, cut);
	return say(p, ex, slot, p->admit == LATER ? PASS : p->admit);
}

static enum answer puppet_judge(struct policy *self, struct exchange *ex, void *slot)
{
	struct puppet *p = (struct puppet *)self;
	p->judged++;
	p->seen_status = ex->reply.status;
	p->seen_failure = ex->failure;
	if (p->refusal)
		exchange_refuse(ex, p->refusal, 0, NULL);
	return say(p, ex, slot, p->again_up_to && ex->attempt <= p->again_up_to ? AGAIN : PASS);
}

static void puppet_settle(struct policy *self, struct exchange *ex, void *slot, enum ending how)
{
	struct puppet *p = (struct puppet *)self;
	p->settled++;
	p->ending = how;
	worker_disarm(ex->worker, &((struct strings *)slot)->timer);
	worker_disarm(ex->worker, &((struct strings *)slot)->scissors);
}

static const struct policy_type outer_type, inner_type;
static struct policy *outer_open(const void *settings, const struct policy_env *env)
{
	(void)settings; (void)env;
	outer.base.type = &outer_type;
	return &outer.base;
}
static struct policy *inner_open(const void *settings, const struct policy_env *env)
{
	(void)settings; (void)env;
	inner.base.type = &inner_type;
	return &inner.base;
}
static void puppet_close(struct policy *p) { (void)p; }
#define PUPPET .close = puppet_close, .slot_size = sizeof(struct strings), .admit = puppet_admit, .judge = puppet_judge, .settle = puppet_settle
static const struct policy_type outer_type = { .name = "outer", .open = outer_open, PUPPET };
static const struct policy_type inner_type = { .name = "inner", .open = inner_open, .per_try = true, PUPPET };

static int begin(void **state)
{
	(void)state;
	outer = inner = (struct puppet){ .admit = PASS };
	simple_open(&w, &(struct simple){ .defaults = "retry: off\ntimeout: 1s", .outside = &outer_type, .inside = &inner_type });
	return 0;
}

/* ── answers ── */

static void test_every_way_to_say_pass(void **state)
{
	(void)state;
	for (enum pay_when t = AT_ONCE; t <= AFTER_A_WHILE; t++) {
		begin(NULL);
		outer.timing = inner.timing = t;
		simple_deed(&w);
		struct guest *g = world_guest(&w, 0, "GET", "/a");
		simple_finish(&w);
		assert_int_equal(g->status, 200);
		assert_int_equal(g->head_us, t == AFTER_A_WHILE ? ms(12) : 0);
		assert_int_equal(outer.admitted + outer.judged + outer.settled, 3);
		assert_int_equal(outer.ending, END_SENT);
	}
}

static void test_every_way_to_turn_away(void **state)
{
	(void)state;
	for (enum pay_when t = AT_ONCE; t <= AFTER_A_WHILE; t++) {
		begin(NULL);
		inner.timing = t;
		inner.admit = TURN;
		simple_deed(&w);
		struct guest *g = world_guest(&w, 0, "GET", "/a");
		simple_finish(&w);
		assert_int_equal(g->status, 429);
		assert_span(guest_reply_field(g, "retry-after"), "7");
		assert_int_equal(inner.settled, 0);           /* TURN keeps nothing and gets none */
		assert_int_equal(inner.judged, 0);
		assert_int_equal(outer.judged, 1);            /* those further out see it */
		assert_int_equal(outer.seen_status, 429);
		assert_int_equal(w.scripts[0].started, 0);
	}
}

static void test_every_way_to_say_again(void **state)
{
	(void)state;
	for (enum pay_when t = AT_ONCE; t <= AFTER_A_WHILE; t++) {
		begin(NULL);
		outer.timing = t;
		outer.again_up_to = 3;
		simple_deed(&w)->body = 1000;
		struct guest *g = world_guest(&w, 0, "GET", "/a");
		simple_finish(&w);
		assert_int_equal(g->status, 200);
		assert_int_equal(g->attempts, 4);
		assert_int_equal(outer.admitted, 1);
		assert_int_equal(outer.judged, 4);
		assert_int_equal(inner.admitted, 4);
		assert_int_equal(inner.settled, 4);
		assert_int_equal(g->got, 1000);
	}
}

static void test_refusal_in_judge(void **state)
{
	(void)state;
	outer.refusal = REASON_overloaded;
	struct deed *d = simple_deed(&w);
	d->body = 100000;
	d->by = 1000;
	d->every_us = ms(1);
	struct guest *g = world_guest(&w, 0, "GET", "/a");
	simple_finish(&w);
	assert_int_equal(g->status, 503);
	assert_int_equal(g->reason, REASON_overloaded);
	assert_int_equal(g->served_by, SERVED_BY_proxy);
	assert_int_equal(w.scripts[0].cancelled, 1);
	assert_int_equal(outer.seen_status, 200);
}

static void test_a_failure_is_seen_by_judges(void **state)
{
	(void)state;
	struct deed *d = simple_deed(&w);
	d->status = 0;
	d->failure = REASON_upstream_protocol_error;
	struct guest *g = world_guest(&w, 0, "GET", "/a");
	simple_finish(&w);
	assert_int_equal(inner.seen_status, 0);
	assert_int_equal(inner.seen_failure, REASON_upstream_protocol_error);
	assert_int_equal(g->status, 502);
	assert_int_equal(outer.ending, END_SENT);             /* our answer about it was complete */
}

/* The service gives up between its head and the moment when that is judged. */
static void test_a_failure_behind_the_head_before_its_judgement(void **state)
{
	(void)state;
	inner.timing = AFTER_A_WHILE;
	struct deed *d = simple_deed(&w);
	d->body = 5000;
	d->by = 1000;
	d->breaks = true;
	d->breaks_at = 2000;
	d->breaks_with = REASON_upstream_reset;
	struct guest *g = world_guest(&w, 0, "GET", "/a");
	simple_finish(&w);
	assert_int_equal(g->status, 502);
	assert_int_equal(g->reason, REASON_upstream_reset);
	assert_false(g->aborted);
	assert_int_equal(inner.seen_status, 200);             /* when it was asked all was well ... */
	assert_int_equal(outer.seen_status, 0);               /* ... and for the next one not       */
}

static void test_a_whole_reply_that_waits_for_its_judge(void **state)
{
	(void)state;
	outer.timing = AFTER_A_WHILE;
	simple_deed(&w)->body = 30000;
	struct guest *g = world_guest(&w, 0, "GET", "/a");
	simple_finish(&w);
	assert_int_equal(g->status, 200);
	assert_int_equal(g->got, 30000);
	assert_int_equal(inner.ending, END_SENT);
}

/* ── cuts ── */

static void test_cut_at_every_moment(void **state)
{
	(void)state;
	/* inner waits 3 ms, the service 5 ms, inner judges 3 ms, outer 3 ms on each side: 17 ms in all */
	for (unsigned at = 1; at < 40; at++) {
		begin(NULL);
		outer.timing = inner.timing = AFTER_A_WHILE;
		outer.cut_with = REASON_queue_timeout;
		outer.cut_after_us = at * 500;
		struct deed *d = simple_deed(&w);
		d->after_us = ms(5);
		d->body = 100;
		struct guest *g = world_guest(&w, 0, "GET", "/a");
		simple_finish(&w);
		bool in_time = at * 500 > ms(17);
		assert_int_equal(g->status, in_time ? 200 : 503);
		assert_int_equal(g->reason, in_time ? REASON_NONE : REASON_queue_timeout);
		assert_int_equal(outer.settled, 1);
		assert_int_equal(inner.settled, inner.admitted);
		if (inner.admitted)
			assert_int_equal(inner.ending, in_time ? END_SENT : END_CUT);
		assert_int_equal(outer.ending, END_SENT);
	}
}

/* The inner door's patience ends when the reply is past it, and held up further out: it has no say any more. */
static void test_cut_by_a_door_that_the_reply_has_passed(void **state)
{
	(void)state;
	outer.timing = AFTER_A_WHILE;
	inner.cut_with = REASON_upstream_timeout;
	inner.cut_after_us = ms(2);
	simple_deed(&w)->body = 50;
	struct guest *g = world_guest(&w, 0, "GET", "/a");
	simple_finish(&w);
	assert_int_equal(g->status, 200);
	assert_int_equal(g->got, 50);
}

static void test_cut_after_the_commit(void **state)
{
	(void)state;
	outer.cut_with = REASON_upstream_timeout;
	outer.cut_after_us = ms(5);
	struct deed *d = simple_deed(&w);
	d->body = 100000;
	d->by = 1000;
	d->every_us = ms(1);
	struct guest *g = world_guest(&w, 0, "GET", "/a");
	simple_finish(&w);
	assert_int_equal(g->status, 200);
	assert_true(g->aborted);
	assert_int_equal(g->reason, REASON_upstream_timeout);
	assert_int_equal(outer.ending, END_CUT);
	assert_int_equal(w.scripts[0].cancelled, 1);
}

/* All is sent, and only the client has not read it yet: doors of the try are settled, the outer ones can still cut. */
static void test_doors_of_a_try_do_not_wait_for_slow_readers(void **state)
{
	(void)state;
	simple_deed(&w)->body = 30000;
	struct guest *g = world_guest(&w, 0, "GET", "/a");
	g->read_by = 100;
	g->read_every_us = ms(1);
	world_run_until(&w, ms(50));
	assert_int_equal(inner.settled, 1);
	assert_int_equal(outer.settled, 0);
	assert_int_equal(world_endpoint(&w, "app-1:80")->in_flight, 0);
	simple_finish(&w);
	assert_int_equal(g->got, 30000);
}

/* ── leaving ── */

static void test_the_client_leaves(void **state)
{
	(void)state;
	for (unsigned at = 0; at < 17; at++) {
		begin(NULL);
		outer.timing = inner.timing = AFTER_A_WHILE;
		struct deed *d = simple_deed(&w);
		d->after_us = ms(5);
		d->body = 5000;
		d->by = 1000;
		d->every_us = ms(1);
		struct guest *g = world_guest(&w, 0, "GET", "/a");
		g->leave_us = ms(at);
		simple_finish(&w);
		assert_int_equal(g->reason, REASON_client_closed);
		assert_int_equal(outer.ending, END_GONE);
		assert_int_equal(w.scripts[0].running, 0);
	}
}

/* ── turns ── */

/* Everybody at the same instant. */
static void test_a_crowd(void **state)
{
	(void)state;
	for (unsigned i = 0; i < GUESTS_MAX; i++)
		world_guest(&w, 0, "GET", "/a");
	outer.timing = AFTER_A_WHILE;
	simple_deed(&w);
	simple_finish(&w);
	for (unsigned i = 0; i < GUESTS_MAX; i++)
		assert_int_equal(w.guests[i].status, 200);
}

#define TEST(name) cmocka_unit_test_setup(name, begin)
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_way_to_say_pass),
		cmocka_unit_test(test_every_way_to_turn_away),
		cmocka_unit_test(test_every_way_to_say_again),
		TEST(test_refusal_in_judge),
		TEST(test_a_failure_is_seen_by_judges),
		TEST(test_a_failure_behind_the_head_before_its_judgement),
		TEST(test_a_whole_reply_that_waits_for_its_judge),
		cmocka_unit_test(test_cut_at_every_moment),
		TEST(test_cut_by_a_door_that_the_reply_has_passed),
		TEST(test_cut_after_the_commit),
		TEST(test_doors_of_a_try_do_not_wait_for_slow_readers),
		cmocka_unit_test(test_the_client_leaves),
		TEST(test_a_crowd),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
