/* test_body.c - two byte pipes with credit: order, bounds, replay, early replies, tunnels. That bytes come in order, once, and within
 * the window is asserted by guest and script themselves, on every byte of every test. */
#include "unit.h"

static struct world w;

/* ── the request's pipe ── */

static void test_a_slow_service_slows_the_client_down(void **state)
{
	(void)state;
	simple_open(&w, &(struct simple){ 0 });
	struct deed *d = simple_deed(&w);
	d->take_by = 1000;
	d->take_every_us = ms(1);
	struct guest *g = world_guest(&w, 0, "PUT", "/a");
	g->body = 400 * 1024;
	world_run_until(&w, ms(50));
	assert_in_range(g->sent, PIPE_WINDOW, 50 * 1000 + 2 * PIPE_WINDOW);   /* not the whole body */
	assert_false(g->sent_end);
	simple_finish(&w);
	assert_int_equal(g->sent, g->body);
	assert_int_equal(g->status, 200);
}

static void test_the_window_grows_when_the_receiver_keeps_up(void **state)
{
	(void)state;
	simple_open(&w, &(struct simple){ 0 });
	simple_deed(&w)->takes_nothing = true;        /* ... until now */
	struct guest *g = world_guest(&w, 0, "PUT", "/a");
	g->body = 2 * 1024 * 1024;
	g->leave_us = ms(100);
	world_run_until(&w, ms(50));
	assert_in_range(g->sent, PIPE_WINDOW, PIPE_WINDOW + CHUNK_HEAD);
	simple_finish(&w);

	simple_open(&w, &(struct simple){ 0 });
	simple_deed(&w);
	g = world_guest(&w, 0, "PUT", "/a");
	g->body = 4 * 1024 * 1024;
	world_run_until(&w, 0);
	world_run_until(&w, ms(1));
	world_run(&w);
	assert_int_equal(g->status, 200);
	world_close(&w);
}

static void test_a_kept_body_is_sent_again(void **state)
{
	(void)state;
	simple_open(&w, &(struct simple){ .defaults = "retry: {max_retries: 2, backoff: {base: 0s}}" });
	struct deed *d = simple_deed(&w);
	d->status = 0;
	d->failure = REASON_upstream_reset;
	d->early = true;
	d->after_us = ms(5);                          /* in the middle of the body */
	simple_deed(&w)->status = 503;
	simple_deed(&w);
	struct guest *g = world_guest(&w, 0, "PUT", "/a");
	g->body = 60 * 1024;
	g->body_by = 5 * 1024;
	g->body_every_us = ms(1);
	simple_finish(&w);
	assert_int_equal(g->status, 200);
	assert_int_equal(g->attempts, 3);
	assert_int_equal(g->reached, 3);
}

static void test_a_body_over_the_buffer_is_streamed_and_not_retried(void **state)
{
	(void)state;
	simple_open(&w, &(struct simple){ .defaults = "retry: {buffer: 10KiB}" });
	simple_deed(&w)->status = 503;
	struct guest *g = world_guest(&w, 0, "PUT", "/a");
	g->body = 10 * 1024 + 1;
	struct guest *small = world_guest(&w, ms(10), "PUT", "/a");
	small->body = 10 * 1024;
	world_run(&w);
	assert_int_equal(g->status, 503);
	assert_int_equal(g->attempts, 1);
	assert_int_equal(small->attempts, 2);
	assert_int_equal(w.router->routes[0].stats->retries[RETRY_not_repeatable], 1);
	world_close(&w);
}

/* Kept bytes, and a window's worth that came during the pause: both at their largest. */
static void test_the_largest_buffer_and_a_full_window_fit_together(void **state)
{
	(void)state;
	simple_open(&w, &(struct simple){ .defaults = "retry: {buffer: 512KiB, retry_on: [503], backoff: {base: 1s, max: 1s}}" });
	struct deed *d = simple_deed(&w);
	d->status = 503;
	d->early = true;
	d->after_us = ms(30);                         /* when 500 KiB have come, and the window is wide open */
	simple_deed(&w);
	struct guest *g = world_guest(&w, 0, "PUT", "/a");
	g->body = 4 * 1024 * 1024;
	g->streams = true;                            /* a told length would have shown that it cannot be kept */
	g->body_by = 16 * 1024;
	g->body_every_us = ms(1);
	world_run(&w);
	assert_int_equal(g->status, 200);
	assert_int_equal(g->attempts, 2);
	world_close(&w);
}

static void test_too_large(void **state)
{
	(void)state;
	simple_open(&w, &(struct simple){ .global = "client: {max_request_body: 20KiB}" });
	struct guest *told = world_guest(&w, 0, "POST", "/a"), *untold = world_guest(&w, ms(10), "POST", "/a"), *fits = world_guest(&w, ms(20), "POST", "/a");
	told->body = untold->body = 20 * 1024 + 1;
	fits->body = 20 * 1024;
	untold->streams = fits->streams = true;
	simple_finish(&w);
	assert_int_equal(told->status, 413);
	assert_int_equal(told->attempts, 0);
	assert_int_equal(untold->status, 413);
	assert_int_equal(untold->reason, REASON_request_body_too_large);
	assert_int_equal(fits->status, 200);
}

/* The rest of a body that is too large comes while the 413 is being read: it must not cut that short. */
static void test_too_large_and_still_sending(void **state)
{
	(void)state;
	simple_open(&w, &(struct simple){ .global = "client: {max_request_body: 20KiB}" });
	struct guest *g = world_guest(&w, 0, "POST", "/a");
	g->body = 60 * 1024;
	g->body_by = 10 * 1024;
	g->body_every_us = ms(1);
	g->streams = true;
	g->read_by = 50;
	g->read_every_us = ms(1);
	simple_finish(&w);
	assert_int_equal(g->status, 413);
	assert_false(g->aborted);
	assert_true(g->ended);
}

/* ── the reply's pipe ── */

static void test_a_slow_reader_slows_the_service_down(void **state)
{
	(void)state;
	simple_open(&w, &(struct simple){ 0 });
	struct deed *d = simple_deed(&w);
	d->body = 1024 * 1024;
	struct guest *g = world_guest(&w, 0, "GET", "/a");
	g->read_by = 1000;
	g->read_every_us = ms(1);
	world_run_until(&w, ms(50));
	assert_in_range(g->got, PIPE_WINDOW, 50 * 1000 + PIPE_WINDOW + 2 * CHUNK_HEAD);
	simple_finish(&w);
	assert_int_equal(g->got, 1024 * 1024);
}

static void test_what_came_before_the_head_went_out_is_held_and_bounded(void **state)
{
	(void)state;
	simple_open(&w, &(struct simple){ .defaults = "retry: {retry_on: [503], backoff: {base: 1s, max: 1s}, budget: 0%, min_retries_per_second: 1}" });
	struct deed *d = simple_deed(&w);
	d->status = 503;
	d->body = 1024 * 1024;
	simple_deed(&w);
	struct guest *g = world_guest(&w, 0, "GET", "/a");
	world_run_until(&w, ms(1));
	assert_in_range(w.worker.chunks.bytes_out, 0, PIPE_WINDOW + 2 * CHUNK_HEAD);
	simple_finish(&w);
	assert_int_equal(g->status, 200);
	assert_int_equal(g->got, 0);
}

/* The service's bytes go as soon as its answer is replaced by ours, and its trailers with them. */
static void test_a_replaced_reply_leaves_nothing(void **state)
{
	(void)state;
	simple_open(&w, &(struct simple){ .defaults = "retry: off\nfallback: {status: 200, body: sorry}" });
	struct deed *d = simple_deed(&w);
	d->status = 500;
	d->body = 50 * 1024;
	struct guest *g = world_guest(&w, 0, "GET", "/a");
	g->deaf = true;
	g->leave_us = ms(10);
	world_run_until(&w, ms(5));
	assert_int_equal(g->heads, 1);
	assert_int_equal(g->ex->reply_body.held.len, 0);
	assert_int_equal(w.worker.chunks.bytes_out, 0);
	simple_finish(&w);
	assert_int_equal(g->status, 200);
	assert_int_equal(g->got, 5);
}

static void test_a_reply_that_breaks_off(void **state)
{
	(void)state;
	simple_open(&w, &(struct simple){ .defaults = "retry: {retry_on: [reset]}" });
	struct deed *d = simple_deed(&w);
	d->body = 100 * 1024;
	d->by = 10 * 1024;
	d->every_us = ms(1);
	d->breaks = true;
	d->breaks_at = 30 * 1024;
	d->breaks_with = REASON_upstream_reset;
	struct guest *g = world_guest(&w, 0, "GET", "/a");
	simple_finish(&w);
	assert_int_equal(g->status, 200);
	assert_true(g->aborted);
	assert_false(g->ended);
	assert_int_equal(g->reason, REASON_response_truncated);
	assert_int_equal(g->attempts, 1);
}

/* ── early replies ── */

static void test_an_early_reply_does_not_wait_for_the_request(void **state)
{
	(void)state;
	simple_open(&w, &(struct simple){ 0 });
	struct deed *d = simple_deed(&w);
	d->status = 401;
	d->early = true;
	d->after_us = ms(2);
	d->body = 10;
	struct guest *g = world_guest(&w, 0, "POST", "/a");
	g->body = 1024 * 1024;
	g->body_by = 1024;
	g->body_every_us = ms(1);
	simple_finish(&w);
	assert_int_equal(g->status, 401);
	assert_int_equal(g->done_us, ms(2));
	assert_false(g->sent_end);
}

static void test_an_early_reply_that_streams_while_the_request_goes_on(void **state)
{
	(void)state;
	simple_open(&w, &(struct simple){ 0 });
	struct deed *d = simple_deed(&w);
	d->early = true;
	d->body = 300 * 1024;
	d->by = 1024;
	d->every_us = ms(1);
	struct guest *g = world_guest(&w, 0, "POST", "/a");
	g->body = 100 * 1024;
	g->body_by = 1024;
	g->body_every_us = ms(1);
	simple_finish(&w);
	assert_int_equal(g->got, d->body);
	assert_int_equal(g->sent, g->body);
}

static void test_a_retry_of_an_early_503_takes_the_rest_of_the_body_along(void **state)
{
	(void)state;
	simple_open(&w, &(struct simple){ .defaults = "retry: {backoff: {base: 3ms, max: 3ms}}" });
	struct deed *d = simple_deed(&w);
	d->status = 503;
	d->early = true;
	d->after_us = ms(4);
	simple_deed(&w);
	struct guest *g = world_guest(&w, 0, "PUT", "/a");
	g->body = 20 * 1024;
	g->body_by = 1024;
	g->body_every_us = ms(1);
	simple_finish(&w);
	assert_int_equal(g->status, 200);
	assert_int_equal(g->attempts, 2);
}

/* ── tunnels ── */

static struct guest *open_tunnel(struct deed **deed)
{
	simple_open(&w, &(struct simple){ 0 });
	*deed = simple_deed(&w);
	(*deed)->status = 101;
	(*deed)->after_us = ms(1);
	struct guest *g = world_guest(&w, 0, "GET", "/chat");
	g->upgrade = SPAN("websocket");
	return g;
}

static void test_tunnel_client_ends_first(void **state)
{
	(void)state;
	struct deed *d;
	struct guest *g = open_tunnel(&d);
	d->body = 200 * 1024;
	d->by = 1000;
	d->every_us = ms(1);
	g->tunnel = 70 * 1024;
	simple_finish(&w);
	assert_int_equal(g->status, 101);
	assert_int_equal(g->got, d->body);
	assert_int_equal(g->sent, g->tunnel);
	assert_false(g->aborted);
}

static void test_tunnel_service_ends_first(void **state)
{
	(void)state;
	struct deed *d;
	struct guest *g = open_tunnel(&d);
	d->ends_first = true;
	d->body = 10;
	g->tunnel = 200 * 1024;
	g->body_by = 1000;
	g->body_every_us = ms(1);
	simple_finish(&w);
	assert_int_equal(g->got, 10);
	assert_int_equal(g->sent, g->tunnel);
	assert_false(g->aborted);
}

/* The service's end is still being written to a slow client when the client ends its own side. */
static void test_tunnel_both_ends_before_all_is_read(void **state)
{
	(void)state;
	struct deed *d;
	struct guest *g = open_tunnel(&d);
	d->ends_first = true;
	d->body = 30 * 1024;
	g->read_by = 1000;
	g->read_every_us = ms(2);
	g->tunnel = 1000;
	simple_finish(&w);
	assert_int_equal(g->got, d->body);
	assert_int_equal(g->sent, 1000);
	assert_false(g->aborted);
}

static void test_tunnel_bytes_right_behind_the_101(void **state)
{
	(void)state;
	struct deed *d;
	struct guest *g = open_tunnel(&d);
	d->within = d->ends_first = true;
	d->body = 10;
	g->tunnel = 10;
	simple_finish(&w);
	assert_int_equal(g->got, 10);
	assert_int_equal(g->status, 101);
}

static void test_tunnel_breaks(void **state)
{
	(void)state;
	struct deed *d;
	struct guest *g = open_tunnel(&d);
	d->body = 100;
	d->breaks = true;
	d->breaks_at = 50;
	d->every_us = ms(1);
	d->breaks_with = REASON_upstream_reset;
	g->tunnel = 10;
	simple_finish(&w);
	assert_true(g->aborted);
	assert_int_equal(g->reason, REASON_upstream_reset);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_slow_service_slows_the_client_down),
		cmocka_unit_test(test_the_window_grows_when_the_receiver_keeps_up),
		cmocka_unit_test(test_a_kept_body_is_sent_again),
		cmocka_unit_test(test_a_body_over_the_buffer_is_streamed_and_not_retried),
		cmocka_unit_test(test_the_largest_buffer_and_a_full_window_fit_together),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_too_large_and_still_sending),
		cmocka_unit_test(test_a_slow_reader_slows_the_service_down),
		cmocka_unit_test(test_what_came_before_the_head_went_out_is_held_and_bounded),
		cmocka_unit_test(test_a_replaced_reply_leaves_nothing),
		cmocka_unit_test(test_a_reply_that_breaks_off),
		cmocka_unit_test(test_an_early_reply_does_not_wait_for_the_request),
		cmocka_unit_test(test_an_early_reply_that_streams_while_the_request_goes_on),
		cmocka_unit_test(test_a_retry_of_an_early_503_takes_the_rest_of_the_body_along),
		cmocka_unit_test(test_tunnel_client_ends_first),
		cmocka_unit_test(test_tunnel_service_ends_first),
		cmocka_unit_test(test_tunnel_both_ends_before_all_is_read),
		cmocka_unit_test(test_tunnel_bytes_right_behind_the_101),
		cmocka_unit_test(test_tunnel_breaks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
