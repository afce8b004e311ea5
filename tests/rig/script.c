/* script.c - see script.h. A call lives in its exchange's arena, as those of edge/ do. */
#include "script.h"

#include "base/must.h"
#include "world.h"

struct call {
	struct script   *script;
	struct exchange *ex;
	struct deed      deed;
	struct event     head, body, take;
	uint64_t         stream;              /* of the reply's bytes                   */
	uint64_t         got, untaken, sent;
	bool             request_ended, head_sent, reply_ended, over;
};

void script_init(struct script *s, struct world *w)
{
	memset(s, 0, sizeof(*s));
	s->world = w;
}

struct deed *script_add(struct script *s)
{
	must(s->count < DEEDS_MAX);
	s->deeds[s->count] = (struct deed){ .status = 200 };
	return &s->deeds[s->count++];
}

void script_clear(struct script *s) { s->count = s->next = 0; }

static void plan(struct call *c, struct event *e, uint64_t in_us, void (*fire)(struct event *))
{
	struct world *w = c->script->world;
	event_plan(&w->clock, e, w->worker.now_us + in_us, fire);
}

/* From here on neither side uses the other's pointer. */
static void call_over(struct call *c)
{
	must(!c->over);
	c->over = true;
	c->script->running--;
	event_cancel(&c->head);
	event_cancel(&c->body);
	event_cancel(&c->take);
}

static void call_ends(struct call *c)
{
	call_over(c);
	c->script->ended++;
}

static void call_fails(struct call *c, enum reason why)
{
	call_over(c);
	c->script->failed++;
	c->ex->reused_dead = c->deed.reused && !c->head_sent;
	exchange_upstream_failed(c->ex, why);
}

/* ── the reply ── */

static void reply_goes_on(struct event *e);

static void send_some(struct call *c)
{
	struct deed *d = &c->deed;
	uint64_t until = d->breaks ? d->breaks_at : d->body;
	uint64_t n = d->by && d->by < until - c->sent ? d->by : until - c->sent;
	if (n > CHUNK_HEAD)
		n = CHUNK_HEAD;
	struct slice s = world_bytes(c->script->world, c->stream, c->sent, n);
	c->sent += n;
	bool whole = c->sent == d->body && !d->breaks;
	/* a tunnel's other direction may have to end first; after the second end the call is over */
	bool end = whole && !(d->end_apart && n) && (d->status != 101 || d->ends_first || c->request_ended);
	if (end) {
		c->reply_ended = true;
		if (d->status != 101 || c->request_ended)
			call_ends(c);
	} else if (!whole || d->status != 101 || n)
		plan(c, &c->body, d->every_us, reply_goes_on);
	if (n || end)
		exchange_upstream_body(c->ex, s, end);
	chunk_unref(s.chunk);
}

static void reply_goes_on(struct event *e)
{
	struct call *c = container_of(e, struct call, body);
	struct deed *d = &c->deed;
	if (d->breaks && c->sent >= d->breaks_at) {
		call_fails(c, d->breaks_with);
		return;
	}
	bool ends_now = c->sent == d->body && !d->breaks;
	if (!ends_now && !exchange_reply_open(c->ex))
		return;                           /* until want() */
	send_some(c);
}

static bool fill_head(struct call *c, struct reply *r)
{
	struct deed *d = &c->deed;
	struct exchange *ex = c->ex;
	char *digits = arena_text(&ex->arena, 20);
	*r = (struct reply){ .status = d->status, .minor = 1, .keep_alive = true, .content_length = d->body, .has_length = !d->streams };
	r->framing = d->streams ? BODY_STREAM : BODY_LENGTH;
	if (reply_has_no_body(ex->request.method, d->status)) {
		r->framing = BODY_NONE;
		if (d->status != 101)
			d->body = 0;
	}
	if (d->breaks_at > d->body)
		d->breaks_at = d->body;
	bool ok = digits && fields_init(&r->fields, &ex->arena, DEED_FIELDS + 4)
		&& fields_add(&r->fields, SPAN("x-stream"), (struct span){ digits, u64_to_text(c->stream, digits) })
		&& fields_add(&r->fields, SPAN("connection"), SPAN("x-hop")) && fields_add(&r->fields, SPAN("x-hop"), SPAN("1"));
	for (unsigned i = 0; ok && i < d->field_count; i++)
		ok = fields_add(&r->fields, d->fields[i].name, d->fields[i].value);
	return ok;
}

static void inform(struct call *c)
{
	struct reply r = { .status = c->deed.informational, .minor = 1 };
	exchange_upstream_informational(c->ex, &r);
}

static void answer(struct call *c)
{
	if (c->deed.informational)
		inform(c);
	if (c->deed.status == 0) {
		call_fails(c, c->deed.failure);
		return;
	}
	c->head_sent = true;
	if (c->deed.status == 101) {              /* the request was over; what comes now is the tunnel's */
		c->request_ended = false;
		c->got = 0;
	}
	if (!fill_head(c, &c->ex->reply)) {
		c->ex->reply = (struct reply){ 0 };
		c->head_sent = false;
		call_fails(c, REASON_internal_error);
		return;
	}
	exchange_upstream_head(c->ex);
	if (c->over)
		return;
	if (c->deed.body_after_us)
		plan(c, &c->body, c->deed.body_after_us, reply_goes_on);
	else
		reply_goes_on(&c->body);
}

static void answers(struct event *e) { answer(container_of(e, struct call, head)); }

/* ── the request ── */

static void takes(struct event *e)
{
	struct call *c = container_of(e, struct call, take);
	uint64_t n = c->deed.take_by && c->deed.take_by < c->untaken ? c->deed.take_by : c->untaken;
	c->untaken -= n;
	if (c->untaken)
		plan(c, &c->take, c->deed.take_every_us, takes);
	exchange_request_taken(c->ex, n);
}

static void begin_answer(struct call *c)
{
	if (c->deed.silent || c->head_sent || event_planned(&c->head))
		return;
	if (c->deed.within)
		answer(c);
	else
		plan(c, &c->head, c->deed.after_us, answers);
}

/* A policy's own request carries the bytes of the guest that it runs for. */
static bool is_somebodys(const struct call *c, struct span bytes)
{
	const struct world *w = c->script->world;
	for (unsigned i = 0; i < w->guest_count; i++)
		if (world_bytes_are(w->guests[i].body_stream, c->got, bytes))
			return true;
	return bytes.len == 0;
}

static void listen_to(struct call *c, struct span bytes)
{
	const struct guest *g = guest_of(c->ex);
	must(g ? world_bytes_are(g->body_stream, c->got, bytes) : is_somebodys(c, bytes));
	c->got += bytes.len;
}

static void tunnel_ended(struct call *c)
{
	if (c->reply_ended)
		call_ends(c);
	else if (c->sent == c->deed.body && !event_planned(&c->body))
		plan(c, &c->body, c->deed.every_us, reply_goes_on);
}

static void script_body(void *handle, struct slice bytes, bool end)
{
	struct call *c = handle;
	bool tunnel = c->head_sent && c->deed.status == 101;
	must(!c->over && !c->request_ended && (bytes.len || end));
	listen_to(c, slice_span(bytes));
	c->request_ended = end;
	if (c->deed.chokes && c->got >= c->deed.chokes_at && !c->head_sent) {
		call_fails(c, REASON_upstream_reset);
		return;
	}
	if (bytes.len && c->deed.eager)
		exchange_request_taken(c->ex, bytes.len);
	else if (bytes.len && !c->deed.takes_nothing) {
		c->untaken += bytes.len;
		if (!event_planned(&c->take))
			plan(c, &c->take, c->deed.take_every_us, takes);
	}
	if (end && tunnel)
		tunnel_ended(c);
	else if (end && !c->deed.early)
		begin_answer(c);
}

/* ── the table ── */

/* What is said of one endpoint holds for all its tries; the others get the rest of the list, one deed each, the last one over and over. */
static const struct deed *next_deed(struct script *s, const struct exchange *ex)
{
	static const struct deed plain = { .status = 200 };
	const struct deed *last = &plain;
	unsigned nth = 0;
	for (unsigned i = 0; i < s->count; i++)
		if (s->deeds[i].on.len && span_eq(s->deeds[i].on, ex->endpoint->name))
			return &s->deeds[i];
	for (unsigned i = 0; i < s->count; i++) {
		if (s->deeds[i].on.len)
			continue;
		last = &s->deeds[i];
		if (nth++ == s->next) {
			s->next++;
			break;
		}
	}
	return last;
}

static bool note_request(struct script *s, struct exchange *ex)
{
	struct request out;
	struct text t;
	if (!exchange_outbound(ex, &out))
		return false;
	must(!fields_have(&out.fields, FIELD_CONNECTION) && !fields_have(&out.fields, FIELD_TRANSFER_ENCODING));
	text_over(&t, s->seen, sizeof(s->seen));
	text_f(&t, SPAN_FMT " " SPAN_FMT " " SPAN_FMT "\n", SPAN_ARG(out.method_text), SPAN_ARG(out.target), SPAN_ARG(out.authority));
	for (unsigned i = 0; i < out.fields.count; i++)
		text_f(&t, SPAN_FMT ": " SPAN_FMT "\n", SPAN_ARG(out.fields.at[i].name), SPAN_ARG(out.fields.at[i].value));
	s->seen_len = t.len;
	t = (struct text){ .at = s->asked, .len = s->asked_len, .size = sizeof(s->asked), .max = sizeof(s->asked) };
	if (s->asked_len)
		text_char(&t, ' ');
	text_add(&t, ex->endpoint->name);
	s->asked_len = t.len;
	return true;
}

static void check_promises(const struct exchange *ex, struct guest *g, const struct deed *d)
{
	must(ex->endpoint && __atomic_load_n(&ex->endpoint->in_flight, __ATOMIC_RELAXED) > 0);
	must(ex->attempt >= 1 && ex->attempt <= ATTEMPTS_MAX);
	if (!g)
		return;
	/* a request that is not idempotent is never sent twice, unless its client says that it may be */
	must(g->reached == 0 || g->repeats || method_is_idempotent(ex->request.method) || fields_have(&ex->request.fields, FIELD_IDEMPOTENCY_KEY));
	g->reached += !d->unseen;
}

static void *script_start(void *self, struct exchange *ex)
{
	struct script *s = self;
	const struct deed *d = next_deed(s, ex);
	struct call *c = arena_take_zeroed(&ex->arena, sizeof(*c));
	if (!c || !note_request(s, ex)) {
		exchange_upstream_failed(ex, REASON_internal_error);
		return NULL;
	}
	s->started++;
	s->running++;
	check_promises(ex, guest_of(ex), d);
	c->script = s;
	c->ex = ex;
	c->deed = *d;
	c->stream = 1000000 + s->started;
	ex->request_reached = !d->unseen;
	c->deed.takes_nothing |= d->unseen;
	if ((d->early && d->status != 101) || d->unseen)
		begin_answer(c);
	return c->over ? NULL : c;
}

static void script_want(void *handle, size_t n)
{
	struct call *c = handle;
	must(!c->over && n > 0 && n <= PIPE_WINDOW_MAX + CHUNK_BODY && exchange_reply_open(c->ex));
	if (c->head_sent && !c->reply_ended && !event_planned(&c->body) && (c->sent < c->deed.body || c->deed.breaks))
		plan(c, &c->body, 0, reply_goes_on);
}

static void script_cancel(void *handle)
{
	struct call *c = handle;
	call_over(c);
	c->script->cancelled++;
}

const struct upstream_ops script_ops = { .start = script_start, .body = script_body, .want = script_want, .cancel = script_cancel };
