/* front_patience.c - how long a client may take: one lazy timer per connection, whose meaning is what the connection is doing (behaviour §5). */
#include "front.h"

enum { LINGER_US = 1000000, SECOND_US = 1000000, HURRY_SHARE = 10, HURRY_LEAST_US = 1000000, HURRY_SPREAD_US = 1000000,
	QUIET_US = 500000 };

static uint64_t earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* Under pressure an idle client may stay for a tenth of the time, though not less than a second; and all those whose time was up when the
 * pressure began leave one after the other. */
static uint64_t idle_due(const struct front *f)
{
	uint64_t since = f->since_us, most = f->step->limits->keepalive_timeout_us, least = most / HURRY_SHARE;
	if (!f->step->hurry_since_us)
		return since + most;
	if (least < HURRY_LEAST_US)
		least = HURRY_LEAST_US;
	uint64_t sooner = since + least;
	if (sooner < f->step->hurry_since_us)
		sooner = f->step->hurry_since_us;
	return earlier(since + most, sooner + f->accepted_us % HURRY_SPREAD_US);
}

/* Told to go, or too old. A client that speaks again and again learns that from its next answer: closing in the moment between two of its requests
 * would meet one that is on its way. So this is for the quiet ones. */
static uint64_t leave_due(const struct front *f)
{
	const struct conf_client *c = f->step->limits;
	uint64_t told = f->close_at_us ? f->close_at_us : TIMER_NEVER, quiet = f->since_us + QUIET_US;
	uint64_t due = f->requests && c->max_connection_age_us ? earlier(told, f->accepted_us + c->max_connection_age_us) : told;
	return due > quiet ? due : quiet;
}

static uint64_t front_due(const struct front *f)
{
	const struct conf_client *c = f->step->limits;
	if (f->dying)
		return 0;
	if (f->reading == READ_LINGER)
		return f->since_us + LINGER_US;
	if (f->stream.out.len && !f->stream.writable && c->write_idle_timeout_us)
		return f->progress_us + c->write_idle_timeout_us;
	switch ((enum reading)f->reading) {
	case READ_IDLE:
		return earlier(leave_due(f), f->requests ? idle_due(f) : f->since_us + c->first_byte_timeout_us);
	case READ_HEAD:
		return f->since_us + c->header_timeout_us;
	case READ_BODY:
		if (f->withheld)
			return TIMER_NEVER;
		return earlier(c->body.idle_timeout_us ? f->since_us + c->body.idle_timeout_us : TIMER_NEVER,
			c->body.min_rate ? f->rate_at_us + SECOND_US : TIMER_NEVER);
	default:
		return TIMER_NEVER;
	}
}

static void timed_out(struct timer *t);

void front_rearm(struct front *f)
{
	uint64_t due = f->stream.closed ? TIMER_NEVER : front_due(f);    /* closed: nothing can keep it waiting, and its memory goes */
	if (due != TIMER_NEVER && (!timer_armed(&f->timer) || due < f->timer.due_us))
		timer_arm(&f->stream.loop->worker.timers, &f->timer, due, timed_out);
}

static bool rate_too_low(struct front *f)
{
	const struct conf_client *c = f->step->limits;
	uint64_t sum = 0;
	if (front_now(f) < f->rate_at_us + SECOND_US)
		return false;
	for (unsigned i = 0; i < RATE_SECONDS; i++)
		sum += f->rate[i];
	if (f->rate_seconds < RATE_SECONDS)
		f->rate_seconds++;
	bool slow = f->rate_seconds == RATE_SECONDS && front_now(f) >= f->body_began_us + c->body.grace_us && sum < c->body.min_rate * RATE_SECONDS;
	memmove(&f->rate[1], &f->rate[0], (RATE_SECONDS - 1) * sizeof(f->rate[0]));
	f->rate[0] = 0;
	f->rate_at_us = front_now(f);
	return slow;
}

static void body_tick(struct front *f)
{
	const struct conf_client *c = f->step->limits;
	bool silent = c->body.idle_timeout_us && front_now(f) >= f->since_us + c->body.idle_timeout_us;
	if (!silent && !(c->body.min_rate && rate_too_low(f))) {
		front_rearm(f);
		return;
	}
	f->reading = READ_DONE;
	f->last = true;
	stream_want_input(&f->stream, false);
	exchange_client_fault(f->ex, REASON_request_timeout, silent ? "No byte of the body came for too long." : "The body came too slowly.");
}

/* The last look at one that is to be closed for idleness: a request that has come since this turn's events were taken is served, not cut. */
static bool has_spoken(struct front *f)
{
	front_input(&f->stream);
	return f->stream.closed || f->reading != READ_IDLE;
}

static void timed_out(struct timer *t)
{
	struct front *f = container_of(t, struct front, timer);
	uint64_t due = front_due(f);
	if (due > front_now(f)) {
		front_rearm(f);
		return;
	}
	if (f->reading == READ_IDLE && !f->dying && has_spoken(f))
		return;
	if (f->dying || f->reading == READ_LINGER || f->reading == READ_IDLE)
		front_close(f, f->dying);
	else if (f->stream.out.len && !f->stream.writable) {
		if (f->ex)
			exchange_client_fault(f->ex, REASON_request_timeout, NULL);       /* comes back through abort and done */
		if (!f->stream.closed)
			front_close(f, true);
	} else if (f->reading == READ_HEAD)
		front_refuse(f, REASON_request_timeout, 0, "The head of the request was not complete in time.");
	else
		body_tick(f);
}
