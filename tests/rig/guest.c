/* guest.c - see guest.h. Always true: after done() the exchange is not touched; within a call from the core nothing is reported,
 * except (eager) that bytes are paid back. */
#include "guest.h"

#include "base/must.h"
#include "world.h"

enum { DEAF_US = 600000000 };

static const struct client_ops guest_ops;
static void guest_reads(struct event *);

static void plan(struct guest *g, struct event *e, uint64_t in_us, void (*fire)(struct event *))
{
	event_plan(&g->world->clock, e, g->world->worker.now_us + in_us, fire);
}

void guest_init(struct guest *g, struct world *w, unsigned number)
{
	memset(g, 0, sizeof(*g));
	g->world = w;
	g->number = number;
	g->host = SPAN("shop.example.com");
	g->minor = 1;
	g->keep_alive = true;
	g->leave_us = TIMER_NEVER;
	g->body_stream = 1000 + number;
}

void guest_field(struct guest *g, const char *name, const char *value)
{
	must(g->field_count < GUEST_FIELDS);
	g->fields[g->field_count++] = (struct conf_pair){ span_of(name), span_of(value) };
}

/* ── asking ── */

static uint64_t to_send(const struct guest *g) { return g->in_tunnel ? g->tunnel : g->body; }

static void guest_sends(struct event *e)
{
	struct guest *g = container_of(e, struct guest, send);
	uint64_t left = to_send(g) - g->sent, n = g->body_by && g->body_by < left ? g->body_by : left;
	struct exchange *ex = g->ex;

	if (left && !exchange_request_open(ex))
		return;                           /* until want() */
	if (n > CHUNK_HEAD)
		n = CHUNK_HEAD;
	if (g->fault && !g->in_tunnel && g->sent + n > g->fault_at) {
		g->fault = false;
		g->sent_end = true;               /* nothing more is read from it */
		exchange_client_fault(ex, REASON_request_invalid, "bad chunk");
		return;
	}
	if (g->same_body && !g->in_tunnel)
		g->body_stream = g->world->guests[0].body_stream;
	struct slice s = world_bytes(g->world, g->body_stream, g->sent, n);
	g->sent += n;
	g->sent_end = g->sent == to_send(g);
	if (!g->sent_end)
		plan(g, &g->send, g->body_every_us, guest_sends);
	exchange_request_body(ex, s, g->sent_end);
	chunk_unref(s.chunk);
}

static bool fill_request(struct guest *g, struct request *r)
{
	const char *question = memchr(g->target.at, '?', g->target.len);
	*r = (struct request){
		.method = method_of(g->method), .method_text = g->method, .target = g->target, .path = g->target, .authority = g->host,
		.minor = g->minor, .keep_alive = g->keep_alive, .upgrade = g->upgrade,
		.framing = !g->body ? BODY_NONE : g->streams ? BODY_STREAM : BODY_LENGTH, .content_length = g->streams ? 0 : g->body,
	};
	if (question) {
		r->path.len = (size_t)(question - g->target.at);
		r->query = span_from(g->target, r->path.len + 1);
	}
	bool ok = fields_init(&r->fields, &g->ex->arena, GUEST_FIELDS);
	for (unsigned i = 0; ok && i < g->field_count; i++)
		ok = fields_add(&r->fields, g->fields[i].name, g->fields[i].value);
	return ok;
}

static void guest_goes(struct event *e) { guest_leaves(container_of(e, struct guest, leave)); }

static void guest_asks(struct event *e)
{
	struct guest *g = container_of(e, struct guest, arrive);
	struct exchange *ex = exchange_new(&g->world->worker, g->world->router, &guest_ops, g);

	g->arrived_us = g->world->worker.now_us;
	if (!ex) {                                /* no memory: a front closes the connection */
		g->left = true;
		g->dones++;
		return;
	}
	g->ex = ex;
	ex->client_address = SPAN("203.0.113.7");
	ex->client_trusted = g->trusted;
	ex->scheme = SPAN("http");
	ex->listener_port = 8080;
	ex->timing.first_byte_us -= g->began_us;
	if (g->leave_us != TIMER_NEVER || g->deaf)        /* who reads nothing at all is cut by his front in the end (write_idle_timeout) */
		plan(g, &g->leave, g->leave_us != TIMER_NEVER ? g->leave_us : DEAF_US, guest_goes);
	if (!fill_request(g, &ex->request)) {
		g->sent_end = true;
		exchange_start_refused(ex, REASON_internal_error, 0, NULL);
		return;
	}
	exchange_start(ex);
	guest_sends(&g->send);
}

void guest_arrives(struct guest *g, uint64_t at_us) { event_plan(&g->world->clock, &g->arrive, EPOCH_US + at_us, guest_asks); }

void guest_leaves(struct guest *g)
{
	if (!g->ex)
		return;
	g->left = true;
	exchange_client_gone(g->ex);
	must(!g->ex);
}

/* ── listening ── */

static void guest_informational(void *client, struct exchange *ex, const struct reply *r)
{
	struct guest *g = client;
	must(g->ex == ex && !g->heads && r->status / 100 == 1 && r->status != 101);
	g->informationals++;
	g->last_informational = (unsigned)r->status;
}

static void note_head(struct guest *g, const struct fields *f)
{
	struct text t;
	text_over(&t, g->head_text, sizeof(g->head_text));
	for (unsigned i = 0; i < f->count; i++) {
		text_add(&t, f->at[i].name);
		text_add(&t, SPAN(": "));
		text_add(&t, f->at[i].value);
		text_char(&t, '\n');
	}
	g->head_len = t.len;
}

static void guest_head(void *client, struct exchange *ex)
{
	struct guest *g = client;
	const struct reply *r = &ex->reply;
	must(g->ex == ex && g->heads++ == 0 && ex->committed && r->status >= (r->status == 101 ? 101 : 200) && r->status <= 599);
	must(!fields_have(&r->fields, FIELD_CONNECTION) && !fields_have(&r->fields, FIELD_TRANSFER_ENCODING));
	g->head_us = g->world->worker.now_us - g->arrived_us;
	g->status = r->status;
	g->length_told = r->framing == BODY_LENGTH && !reply_has_no_body(ex->request.method, r->status);
	g->told_length = r->content_length;
	g->checks_bytes = !ex->local;
	note_head(g, &r->fields);
	if (r->status != 101)
		return;
	must(g->upgrade.len && g->sent_end);
	g->in_tunnel = true;
	g->sent_end = false;
	g->sent = 0;
	g->body_stream += 1000;
	plan(g, &g->send, g->body_every_us, guest_sends);
}

static void listen_to(struct guest *g, struct span bytes)
{
	uint64_t stream = 0;
	struct span told = guest_reply_field(g, "x-stream");
	if (g->checks_bytes && told.len)
		must(span_to_u64(told, UINT64_MAX, &stream) && world_bytes_are(stream, g->got, bytes));
	size_t n = sizeof(g->text) - g->text_len < bytes.len ? sizeof(g->text) - g->text_len : bytes.len;
	if (n)
		memcpy(g->text + g->text_len, bytes.at, n);
	g->text_len += n;
	g->got += bytes.len;
}

static void guest_body(void *client, struct exchange *ex, struct slice bytes, bool end)
{
	struct guest *g = client;
	must(g->ex == ex && g->heads == 1 && !g->ended && !g->aborted);
	must(bytes.len || end);
	listen_to(g, slice_span(bytes));
	/* what the core lets through beyond what was taken is bounded: the window and one read */
	must(g->got - g->taken <= PIPE_WINDOW_MAX + CHUNK_BODY);
	g->ended = end;
	must(!end || !g->length_told || g->got == g->told_length);
	if (g->deaf)
		return;
	g->unread += bytes.len;
	if (g->eager && g->unread) {
		size_t n = g->unread;
		g->unread = 0;
		g->taken += n;
		exchange_reply_taken(ex, n);
	}
	if (!event_planned(&g->read))
		plan(g, &g->read, g->read_every_us, guest_reads);
}

static void guest_reads(struct event *e)
{
	struct guest *g = container_of(e, struct guest, read);
	size_t n = g->read_by && g->read_by < g->unread ? g->read_by : g->unread;
	struct exchange *ex = g->ex;

	g->unread -= n;
	g->taken += n;
	if (n)
		exchange_reply_taken(ex, n);
	if (g->unread)
		plan(g, &g->read, g->read_every_us, guest_reads);
	else if (g->ended)
		exchange_client_done(ex);
}

static void guest_want(void *client, struct exchange *ex, size_t n)
{
	struct guest *g = client;
	must(g->ex == ex && n > 0 && exchange_request_open(ex));
	g->granted += n;
	/* how far it may run ahead is bounded, and never beyond what it was told */
	must(n <= PIPE_WINDOW_MAX + CHUNK_BODY && (g->in_tunnel || g->granted + PIPE_WINDOW <= g->sent + PIPE_WINDOW_MAX + CHUNK_BODY));
	if (!g->sent_end && !event_planned(&g->send))
		plan(g, &g->send, 0, guest_sends);
}

static void guest_aborted(void *client, struct exchange *ex)
{
	struct guest *g = client;
	must(g->ex == ex && !g->aborted);
	g->aborted = true;
}

static void guest_done(void *client, struct exchange *ex)
{
	struct guest *g = client;
	must(g->ex == ex && g->dones++ == 0 && g->doors == 0);
	must(g->left || g->aborted || (g->ended && !g->unread));
	g->ex = NULL;
	g->done_us = g->world->worker.now_us - g->arrived_us;
	g->reason = ex->reason;
	g->served_by = ex->served_by;
	g->attempts = ex->attempt;
	event_cancel(&g->send);
	event_cancel(&g->read);
	event_cancel(&g->leave);
}

struct span guest_reply_field(const struct guest *g, const char *name)
{
	struct span rest = { g->head_text, g->head_len }, line, key = span_of(name);
	while (span_next(&rest, '\n', &line))
		if (line.len > key.len && span_starts_nocase(line, key) && line.at[key.len] == ':')
			return span_trim(span_from(line, key.len + 1));
	return SPAN_NONE;
}

static const struct client_ops guest_ops = {
	.send_informational = guest_informational, .send_head = guest_head, .send_body = guest_body,
	.want = guest_want, .abort = guest_aborted, .done = guest_done,
};
