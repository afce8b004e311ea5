/* test_spawn.c - a door that serves its requests by requests of its own: each gets a spawned one, whose reply it hands on. */
#include "unit.h"

#include <stdlib.h>

#include "base/must.h"

struct relay { struct policy base; unsigned deserted; };
struct relayed { struct exchange *ex, *child; bool serving, told, reached; };
static struct relay relay;
static struct world w;

/* ── as the client of the child ── */

static void hand_on_head(void *client, struct exchange *child)
{
	struct relayed *r = client;
	exchange_credit(r->ex, child);
	r->reached = true;
	if (!r->serving)
		return;
	if (child->local) {
		struct exchange *ex = r->ex;
		r->told = true;
		exchange_upstream_failed(ex, child->reason);
		return;
	}
	must(reply_copy(&r->ex->reply, &child->reply, &r->ex->arena));
	r->told = true;
	exchange_upstream_head(r->ex);
}
static void hand_on_body(void *client, struct exchange *child, struct slice bytes, bool end)
{
	struct relayed *r = client;
	size_t n = bytes.len;
	if (r->serving && r->told && !child->local) {
		if (end)
			r->serving = false;
		exchange_upstream_body(r->ex, bytes, end);
	}
	if (n)
		exchange_reply_taken(child, n);
	if (end)
		exchange_client_done(child);
}
static void hand_on_abort(void *client, struct exchange *child)
{
	struct relayed *r = client;
	(void)child;
	r->child = NULL;                          /* it is over: only done() is still to come */
	if (r->serving) {
		r->serving = false;
		exchange_upstream_failed(r->ex, REASON_upstream_reset);
	}
}
static void child_done(void *client, struct exchange *child)
{
	(void)child;
	((struct relayed *)client)->child = NULL;
}
static void child_informed(void *client, struct exchange *child, const struct reply *r) { (void)client; (void)child; (void)r; }
static void child_wants(void *client, struct exchange *child, size_t n) { (void)client; (void)child; (void)n; }
static const struct client_ops to_us = {
	.send_informational = child_informed, .send_head = hand_on_head, .send_body = hand_on_body, .want = child_wants, .abort = hand_on_abort,
	.done = child_done,
};

/* ── as the upstream of the client's exchange ── */

static void *serve(void *self, struct exchange *ex)
{
	struct relayed *r = self;
	r->serving = true;
	r->child = exchange_spawn(ex, ex->route, exchange_door(ex, r) + 1, &to_us, r);
	must(r->child);
	return r;
}
static void take_body(void *call, struct slice bytes, bool end) { (void)call; must(bytes.len == 0 && end); }
static void more(void *call, size_t n) { (void)call; (void)n; }
static void stop(void *call)
{
	struct relayed *r = call;
	r->serving = false;
	if (r->child) {
		relay.deserted++;
		exchange_client_gone(r->child);
	}
}
static const struct upstream_ops from_us = { .start = serve, .body = take_body, .want = more, .cancel = stop };

static enum answer relay_admit(struct policy *p, struct exchange *ex, void *slot)
{
	struct relayed *r = slot;
	(void)p;
	r->ex = ex;
	if (ex->spawned)
		return PASS;
	exchange_divert(ex, &from_us, r);
	return PASS;
}
static enum answer relay_judge(struct policy *p, struct exchange *ex, void *slot)
{
	struct relayed *r = slot;
	(void)p;
	if (ex->reply.status == 0 && r->child)
		exchange_refuse_like(ex, r->child);
	return PASS;
}
static void relay_settle(struct policy *p, struct exchange *ex, void *slot, enum ending how)
{
	struct relayed *r = slot;
	(void)p; (void)ex; (void)how;
	if (r->child)
		exchange_client_gone(r->child);
}
static const struct policy_type relay_type;
static struct policy *relay_open(const void *settings, const struct policy_env *env)
{
	(void)settings; (void)env;
	relay.base.type = &relay_type;
	return &relay.base;
}
static void relay_close(struct policy *p) { (void)p; }
static const struct policy_type relay_type = {
	.name = "relay", .open = relay_open, .close = relay_close, .slot_size = sizeof(struct relayed), .admit = relay_admit, .judge = relay_judge,
	.settle = relay_settle,
};

static int begin(void **state)
{
	(void)state;
	relay = (struct relay){ .deserted = 0 };
	simple_open(&w, &(struct simple){ .defaults = "timeout: 1s", .outside = &relay_type });
	return 0;
}

static void test_a_reply_is_handed_on(void **state)
{
	(void)state;
	struct deed *d = simple_deed(&w);
	d->after_us = ms(5);
	d->body = 200000;
	d->by = 1000;
	struct guest *g = world_guest(&w, 0, "GET", "/a?b=c");
	simple_finish(&w);
	assert_int_equal(g->status, 200);
	assert_int_equal(g->got, 200000);
	assert_int_equal(g->head_us, ms(5));
	assert_int_equal(g->attempts, 1);
	assert_int_equal(w.scripts[0].started, 1);
}

static void test_a_try_inside_is_repeated_there(void **state)
{
	(void)state;
	struct deed *d = simple_deed(&w);
	d->status = 0;
	d->failure = REASON_connection_refused;
	simple_deed(&w)->body = 10;
	struct guest *g = world_guest(&w, 0, "GET", "/a");
	simple_finish(&w);
	assert_int_equal(g->status, 200);
	assert_int_equal(g->attempts, 2);
	assert_int_equal(w.scripts[0].started, 2);
}

static void test_a_refusal_is_the_same_outside(void **state)
{
	(void)state;
	struct deed *d = simple_deed(&w);
	d->status = 0;
	d->failure = REASON_upstream_protocol_error;
	struct guest *g = world_guest(&w, 0, "GET", "/a");
	simple_finish(&w);
	assert_int_equal(g->status, 502);
	assert_int_equal(g->reason, REASON_upstream_protocol_error);
}

static void test_the_client_leaves_at_every_moment(void **state)
{
	(void)state;
	for (unsigned at = 0; at < 12; at++) {
		begin(NULL);
		struct deed *d = simple_deed(&w);
		d->after_us = ms(5);
		d->body = 5000;
		d->by = 1000;
		d->every_us = ms(1);
		struct guest *g = world_guest(&w, 0, "GET", "/a");
		g->leave_us = ms(at);
		simple_finish(&w);
		assert_int_equal(w.scripts[0].running, 0);
	}
}

static void test_the_deadline_cuts_both(void **state)
{
	(void)state;
	simple_deed(&w)->after_us = ms(5000);
	struct guest *g = world_guest(&w, 0, "GET", "/a");
	simple_finish(&w);
	assert_int_equal(g->status, 504);
	assert_int_equal(g->head_us, ms(1000));
	assert_int_equal(w.scripts[0].cancelled, 1);
	assert_int_equal(relay.deserted, 1);
}

static void test_a_body_that_breaks_off(void **state)
{
	(void)state;
	struct deed *d = simple_deed(&w);
	d->body = 5000;
	d->by = 1000;
	d->every_us = ms(1);
	d->breaks = true;
	d->breaks_at = 2000;
	d->breaks_with = REASON_upstream_reset;
	struct guest *g = world_guest(&w, 0, "GET", "/a");
	simple_finish(&w);
	assert_true(g->aborted);
	assert_int_equal(g->reason, REASON_response_truncated);
}

static bool forwarded(const char *line)
{
	const struct script *s = &w.scripts[0];
	return memmem(s->seen, s->seen_len, line, strlen(line)) != NULL;
}

/* What a door has set for the upstream goes with the request that is made of another. */
static void test_fields_of_policies_go_along(void **state)
{
	static const struct span k1[] = { { "k1", 2 } };
	(void)state;
	relay = (struct relay){ .deserted = 0 };
	simple_open(&w, &(struct simple){ .defaults = "auth: {jwt: {jwks: 'file:/keys', audience: app, forward: {sub: x-user, role: x-role}}}",
		.outside = &relay_type,
		.service = "balance: ring_hash\nhash_key: 'jwt:sub'", .endpoints = "app-1:80 app-2:80 app-3:80 app-4:80" });
	pretend_keys_publish(&w, k1, 1);
	for (unsigned i = 0; i < 8; i++) {
		struct guest *g = world_guest(&w, ms(100 * i), "GET", "/a");
		guest_field(g, "x-user", "root");
		guest_field(g, "x-role", "root");
		guest_field(g, "connection", "x-user");
		assert_true(pretend_token(g, SPAN("sub=ann")));
	}
	simple_finish(&w);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(w.guests[i].status, 200);
	for (unsigned i = 1; i < 8; i++)          /* all to the same endpoint: the claims went along as well */
		assert_memory_equal(w.scripts[0].asked + 9 * i, w.scripts[0].asked, 8);
	assert_true(forwarded("\nx-user: ann\n") && !forwarded("root"));
}

#define TEST(name) cmocka_unit_test_setup(name, begin)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_reply_is_handed_on),
		TEST(test_a_try_inside_is_repeated_there),
		TEST(test_a_refusal_is_the_same_outside),
		cmocka_unit_test(test_the_client_leaves_at_every_moment),
		TEST(test_the_deadline_cuts_both),
		TEST(test_a_body_that_breaks_off),
		cmocka_unit_test(test_fields_of_policies_go_along),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
