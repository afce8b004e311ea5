/* farewell.c - see farewell.h. Where an event or a frame ends is followed from the first byte on, as a drain may come at any. */
#include "farewell.h"

#include "body.h"
#include "walk.h"

enum { FRAME_HEAD_MAX = 10 };

struct farewell {
	struct exchange *ex;
	struct timer     timer;
	bool             websocket, wanted, over;
	char             last[3]; unsigned last_len;      /* the last bytes of the events so far */
	unsigned char    head[FRAME_HEAD_MAX]; unsigned head_len;         /* of the frame that is on its way: as much as has come ... */
	uint64_t         payload;             /* ... and so much of its payload has not */
};

/* ── events: a line without a byte in it ends one. Lines end with CR, LF, or both ── */

static bool is_end_of_line(char c) { return c == '\n' || c == '\r'; }

static bool is_between_events(const struct farewell *f)
{
	unsigned n = f->last_len;
	if (n == 0)
		return true;
	unsigned end = n >= 2 && f->last[n - 1] == '\n' && f->last[n - 2] == '\r' ? 2 : 1;
	return is_end_of_line(f->last[n - 1]) && n > end && is_end_of_line(f->last[n - 1 - end]);
}

static void note_byte(struct farewell *f, char c)
{
	if (f->last_len == sizeof(f->last)) {
		memmove(f->last, f->last + 1, sizeof(f->last) - 1);
		f->last_len--;
	}
	f->last[f->last_len++] = c;
}

static size_t pass_events(struct farewell *f, struct slice s)
{
	size_t at = f->wanted || s.len < sizeof(f->last) ? 0 : s.len - sizeof(f->last);
	while (at < s.len) {
		note_byte(f, s.at[at++]);
		if (f->wanted && is_between_events(f)) {
			f->over = true;
			return at + (s.at[at - 1] == '\r' && at < s.len && s.at[at] == '\n');
		}
	}
	return at;
}

/* ── frames (RFC 6455 §5.2); from a server they have no mask ── */

/* Beyond the first two bytes. */
static unsigned length_bytes(const struct farewell *f)
{
	unsigned len = f->head[1] & 0x7f;
	return len == 127 ? 8 : len == 126 ? 2 : 0;
}

static uint64_t payload_size(const struct farewell *f)
{
	unsigned more = length_bytes(f);
	uint64_t n = more ? 0 : f->head[1] & 0x7f;
	for (unsigned i = 0; i < more; i++)
		n = n << 8 | f->head[2 + i];
	return n + (f->head[1] & 0x80 ? 4 : 0);   /* a mask, though there must be none, goes along with what it masks */
}

static bool is_between_frames(const struct farewell *f) { return f->head_len == 0 && f->payload == 0; }

static void note_head_byte(struct farewell *f, unsigned char c)
{
	f->head[f->head_len++] = c;
	if (f->head_len < 2 || f->head_len < 2 + length_bytes(f))
		return;
	f->payload = payload_size(f);
	f->head_len = 0;
}

static size_t pass_frames(struct farewell *f, struct slice s)
{
	size_t at = 0;
	while (at < s.len) {
		if (f->payload) {
			size_t n = s.len - at < f->payload ? s.len - at : (size_t)f->payload;
			f->payload -= n;
			at += n;
		} else
			note_head_byte(f, (unsigned char)s.at[at++]);
		if (f->wanted && is_between_frames(f)) {
			f->over = true;
			break;
		}
	}
	return at;
}

/* ── the end ── */

static void say_it(struct farewell *f)
{
	struct exchange *ex = f->ex;
	struct pipe *p = &ex->reply_body;
	if (ex->walk.state == WALK_OVER || p->state == PIPE_ENDED)
		return;
	if (f->websocket) {
		ex->client_ops->send_body(ex->client, ex, slice_of(SPAN("\x88\x02\x03\xe9")), false);
		return;
	}
	walk_drop_call(ex);
	p->state = PIPE_ENDED;
	walk_settle_from(ex, ex->route->attempt_from, END_SENT);
	ex->client_ops->send_body(ex->client, ex, slice_of(SPAN_NONE), true);
}

/* Not from inside what the upstream reports: the call cannot be dropped there. */
static void time_has_come(struct timer *t)
{
	struct farewell *f = container_of(t, struct farewell, timer);
	f->wanted = true;
	f->over = f->over || (f->websocket ? is_between_frames(f) : is_between_events(f));
	if (f->over)
		say_it(f);
}

void exchanges_farewell(struct worker *w, uint64_t spread_us)
{
	w->leaving = true;
	w->farewell_us = spread_us;
	list_each (l, &w->live) {
		struct exchange *ex = container_of(l, struct exchange, on_live);
		if (ex->farewell && !ex->farewell->over)
			worker_arm(w, &ex->farewell->timer, rand_below(&w->rand, spread_us + 1), time_has_come);
	}
}

void farewell_begin(struct exchange *ex)
{
	const struct reply *r = &ex->reply;
	bool websocket = ex->tunnel && span_eq_nocase(ex->request.upgrade, SPAN("websocket"));
	bool events = r->status == 200 && r->framing == BODY_STREAM && ex->request.method != METHOD_HEAD
		&& !fields_have(&r->fields, FIELD_CONTENT_ENCODING)
		&& span_starts_nocase(fields_value(&r->fields, FIELD_CONTENT_TYPE), SPAN("text/event-stream"));
	if (ex->spawned || !(websocket || events) || !(ex->farewell = arena_take(&ex->arena, sizeof(*ex->farewell))))
		return;
	*ex->farewell = (struct farewell){ .ex = ex, .websocket = websocket };
	if (ex->worker->leaving)                  /* the last ones in: they get a first word */
		worker_arm(ex->worker, &ex->farewell->timer, ex->worker->farewell_us, time_has_come);
}

struct slice farewell_pass(struct exchange *ex, struct slice bytes)
{
	struct farewell *f = ex->farewell;
	bool before = f->over;
	size_t n = before ? 0 : f->websocket ? pass_frames(f, bytes) : pass_events(f, bytes);
	if (f->over && !before)
		worker_arm(ex->worker, &f->timer, 0, time_has_come);
	bytes.len = n;
	return bytes;
}

void farewell_fini(struct exchange *ex)
{
	if (ex->farewell)
		worker_disarm(ex->worker, &ex->farewell->timer);
}
