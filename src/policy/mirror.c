/* mirror.c - copies of requests to another upstream, whose answers nobody sees.
 *
 * A copy is a request of the policy's own (exchange_spawn), made once the client's request is there whole; it has its own time, and its life has
 * nothing to do with the client's. So it can neither delay nor fail that one. There are at most max_in_flight at a time, counted from the moment
 * that one is begun to be collected: what they hold is bounded by max_in_flight times buffer.
 */
#include <stdlib.h>

#include "core/exchange.h"
#include "core/shared.h"
#include "policy/registry.h"

/* answered: with any status. refused: by the breaker or the limits of the upstream that gets copies. */
#define MIRROR_RESULTS(X) X(answered) X(failed) X(refused) X(timeout) X(too_many) X(too_large) X(incomplete)
enum mirror_result {
#define X(word) MIRROR_##word,
	MIRROR_RESULTS(X)
#undef X
	MIRROR_RESULT_COUNT
};

struct mirror_conf {
	struct conf_upstream *upstream;
	double   share;
	struct conf_texts methods;
	uint64_t max_in_flight, buffer, timeout_us;
};

static bool read_upstream(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	(void)index;
	return (*(struct conf_upstream **)field = conf_upstream_of(r, text)) != NULL;
}

#define CONF struct mirror_conf
static const struct conf_key mirror_keys[] = {
	CONF_ROW(CONF, "upstream", upstream, CONF_T_CUSTOM, .read = read_upstream, .flags = CONF_REQUIRED, .example = "shadow",
		.help = "who gets the copies: name of an upstream, or a URL; `mirror: shadow` is short for it"),
	CONF_SHARE(CONF, "share", share, "100%", "of the requests is copied"),
	CONF_TEXTS(CONF, "methods", methods, "[GET, HEAD, OPTIONS]",
		"only these are copied; name POST and others if what they do twice is harmless"),
	CONF_COUNT(CONF, "max_in_flight", max_in_flight, "100", "1", "100000", "copies at a time; beyond that requests are not copied, and counted"),
	CONF_SIZE(CONF, "buffer", buffer, "64KiB", "0B", "512KiB", "requests with a larger body are not copied, and counted"),
	CONF_DURATION(CONF, "timeout", timeout_us, "5s", "1ms", "10m", "a copy without a whole answer after so long is given up"),
	CONF_END
};
#undef CONF
static const struct conf_block mirror_block = {
	.name = "mirror", .keys = mirror_keys, .size = sizeof(struct mirror_conf), .levels = CONF_ROUTE, .scalar_ok = true, .optional = true,
	.help = "copies of requests to another upstream; its answers are thrown away",
};

/* ── one per route and process ── */

struct mirror_core { uint64_t in_flight, results[MIRROR_RESULT_COUNT]; };          /* atomic */

static bool core_init(void *core, const void *with) { (void)core; (void)with; return true; }

static uint64_t in_flight(struct mirror_core *core) { return __atomic_load_n(&core->in_flight, __ATOMIC_RELAXED); }

static const char *const result_names[] = {
#define X(word) #word,
	MIRROR_RESULTS(X)
#undef X
};

static void read_results(void *memory, uint64_t now_us, struct samples *out)
{
	struct mirror_core *core = memory;
	(void)now_us;
	for (unsigned r = 0; r < MIRROR_RESULT_COUNT; r++) {
		uint64_t n = __atomic_load_n(&core->results[r], __ATOMIC_RELAXED);
		out->real(out, &(struct label){ "result", span_of(result_names[r]) }, 1, (double)n);
	}
}

static void read_in_flight(void *core, uint64_t now_us, struct samples *out)
{
	(void)now_us;
	out->real(out, NULL, 0, (double)in_flight(core));
}

static const struct core_series series[] = {
	{ "outrigger_mirrored_requests_total", "counter", "Copies of requests, and what became of them; too_many and too_large: none was made.",
		read_results },
	{ "outrigger_mirror_in_flight", "gauge", "Copies on their way, or being collected.", read_in_flight },
	{ NULL, NULL, NULL, NULL }
};

static void state_json(void *memory, uint64_t now_us, struct json *j)
{
	struct mirror_core *core = memory;
	(void)now_us;
	json_u64(j, "in_flight", in_flight(core));
	for (unsigned r = 0; r < MIRROR_RESULT_COUNT; r++)
		json_u64(j, result_names[r], __atomic_load_n(&core->results[r], __ATOMIC_RELAXED));
}

static void words(void *memory, uint64_t now_us, struct text *out)
{
	struct mirror_core *core = memory;
	(void)now_us;
	text_f(out, "%llu in flight", (unsigned long long)in_flight(core));
	for (unsigned r = 0; r < MIRROR_RESULT_COUNT; r++) {
		uint64_t n = __atomic_load_n(&core->results[r], __ATOMIC_RELAXED);
		if (n)
			text_f(out, ", %llu %s", (unsigned long long)n, result_names[r]);
	}
}

static const struct core_kind mirror_kind = {
	.name = "mirror", .label = "route", .size = sizeof(struct mirror_core), .init = core_init, .series = series,
	.state = state_json, .summary = words,
};

struct mirror {
	struct policy       base;
	struct mirror_conf  conf;
	struct shared      *shared;
	struct mirror_core *core;
	const struct route *to;
};

static void note(struct mirror_core *core, enum mirror_result r) { __atomic_fetch_add(&core->results[r], 1, __ATOMIC_RELAXED); }

static bool take_permit(struct mirror *m)
{
	if (__atomic_fetch_add(&m->core->in_flight, 1, __ATOMIC_RELAXED) < m->conf.max_in_flight)
		return true;
	__atomic_fetch_sub(&m->core->in_flight, 1, __ATOMIC_RELAXED);
	note(m->core, MIRROR_too_many);
	return false;
}

static void give_permit(struct mirror *m, enum mirror_result r)
{
	__atomic_fetch_sub(&m->core->in_flight, 1, __ATOMIC_RELAXED);
	note(m->core, r);
}

static struct policy *mirror_open(const void *settings, const struct policy_env *env)
{
	struct mirror *m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->base.type = &mirror_policy;
	m->conf = *(const struct mirror_conf *)settings;
	m->shared = env->shared;
	m->to = policy_route_aside(env, m->conf.upstream);
	m->core = m->to ? shared_take(env->shared, &mirror_kind, env->route->name, NULL) : NULL;
	if (m->core)
		return &m->base;
	free(m);
	return NULL;
}

static void mirror_close(struct policy *p)
{
	struct mirror *m = (struct mirror *)p;
	shared_give(m->shared, m->core);
	free(m);
}

/* ── a copy on its way: the client of its exchange, which holds the router and so the policy ── */

struct copy { struct mirror *mirror; struct exchange *ex; struct timer patience; enum mirror_result result; };

static void copy_takes_too_long(struct timer *t)
{
	struct copy *c = container_of(t, struct copy, patience);
	c->result = MIRROR_timeout;
	exchange_client_fault(c->ex, REASON_deadline_exceeded, NULL);     /* so that a breaker hears of it */
}

static void copy_head(void *client, struct exchange *ex)
{
	struct copy *c = client;
	if (ex->local && c->result != MIRROR_timeout)
		c->result = reason_facts(ex->reason)->by_upstream ? MIRROR_failed : MIRROR_refused;
}

static void copy_body(void *client, struct exchange *ex, struct slice bytes, bool end)
{
	struct copy *c = client;
	if (bytes.len)
		exchange_reply_taken(ex, bytes.len);
	if (!end)
		return;
	if (!ex->local)
		c->result = MIRROR_answered;
	exchange_client_done(ex);                         /* copy_done comes from inside */
}

static void copy_done(void *client, struct exchange *ex)
{
	struct copy *c = client;
	worker_disarm(ex->worker, &c->patience);
	give_permit(c->mirror, c->result);
	free(c);
}

static void copy_informs(void *client, struct exchange *ex, const struct reply *r) { (void)client; (void)ex; (void)r; }
static void copy_wants(void *client, struct exchange *ex, size_t n) { (void)client; (void)ex; (void)n; }
static void copy_abort(void *client, struct exchange *ex) { (void)client; (void)ex; }
static const struct client_ops copy_ops = {
	.send_informational = copy_informs, .send_head = copy_head, .send_body = copy_body, .want = copy_wants, .abort = copy_abort,
	.done = copy_done,
};

/* Its body is whole, so its length is known. */
static bool mark(struct exchange *ex, size_t length)
{
	struct request *r = &ex->request;
	struct fields marked;
	fields_drop_name(&r->fields, SPAN("x-outrigger-mirror"));
	fields_drop(&r->fields, FIELD_EXPECT);
	fields_drop(&r->fields, FIELD_TRAILER);
	r->expect_continue = false;
	if (r->framing == BODY_STREAM) {
		r->framing = BODY_LENGTH;
		r->content_length = length;
	}
	if (!fields_copy(&marked, &r->fields, &ex->arena, 1) || !fields_add(&marked, SPAN("x-outrigger-mirror"), SPAN("1")))
		return false;
	r->fields = marked;
	return true;
}

/* The permit goes over to the copy. */
static void send_copy(struct mirror *m, const struct exchange *ex, const struct buf *body)
{
	struct copy *c = calloc(1, sizeof(*c));
	if (!c) {
		give_permit(m, MIRROR_failed);
		return;
	}
	c->mirror = m;
	c->result = MIRROR_failed;
	c->ex = exchange_spawn(ex, m->to, 0, &copy_ops, c);
	if (!c->ex) {
		give_permit(m, MIRROR_failed);
		free(c);
		return;
	}
	c->ex->deadline_us = ex->worker->now_us + m->conf.timeout_us;
	c->ex->patience_us = m->conf.timeout_us;
	worker_arm(ex->worker, &c->patience, m->conf.timeout_us, copy_takes_too_long);
	if (!mark(c->ex, body ? body->len : 0)) {
		exchange_client_gone(c->ex);
		return;
	}
	if (c->ex->request.framing == BODY_NONE)
		return;                                   /* its end was told by exchange_spawn */
	for (const struct buf_piece *p = body ? buf_first(body) : NULL; p; p = p->next)
		exchange_request_body(c->ex, p->slice, false);
	exchange_request_body(c->ex, slice_of(SPAN_NONE), true);
}

/* ── the door ── */

struct mirror_slot { struct buf body; bool collects; };

static bool is_wanted(const struct mirror *m, struct exchange *ex)
{
	if (ex->request.upgrade.len || ex->worker->draining)
		return false;
	for (unsigned i = 0; i < m->conf.methods.count; i++)
		if (span_eq(m->conf.methods.at[i], ex->request.method_text))
			return m->conf.share >= 1 || rand_unit(&ex->worker->rand) < m->conf.share;
	return false;
}

static void give_up(struct mirror *m, struct mirror_slot *slot, enum mirror_result why)
{
	slot->collects = false;
	buf_fini(&slot->body);
	give_permit(m, why);
}

static void collect(struct mirror *m, const struct exchange *ex, struct mirror_slot *slot, const struct slice *bytes, bool end)
{
	/* copied: a reference would keep the whole chunk that it was read into, and the bound would be none */
	if (bytes->len && !buf_keep(&slot->body, slice_of(slice_span(*bytes)))) {
		give_up(m, slot, MIRROR_too_large);
		return;
	}
	if (!end)
		return;
	slot->collects = false;
	send_copy(m, ex, &slot->body);
	buf_fini(&slot->body);
}

static enum answer mirror_admit(struct policy *p, struct exchange *ex, void *memory)
{
	struct mirror *m = (struct mirror *)p;
	struct mirror_slot *slot = memory;
	bool over = ex->request_body.state == PIPE_ENDED;

	if (!is_wanted(m, ex))
		return PASS;
	if (exchange_pressure(ex) || pressure_level(&m->to->upstream->pressure)) {       /* a copy is work that nobody waits for */
		note(m->core, MIRROR_too_many);
		return PASS;
	}
	if (!take_permit(m))
		return PASS;
	if (ex->request.framing == BODY_NONE) {
		send_copy(m, ex, NULL);
		return PASS;
	}
	if (ex->request.framing == BODY_LENGTH && ex->request.content_length > m->conf.buffer) {
		give_permit(m, MIRROR_too_large);
		return PASS;
	}
	buf_init(&slot->body, &ex->worker->chunks, m->conf.buffer);
	slot->collects = ex->request_tapped = true;
	for (const struct buf_piece *piece = buf_first(&ex->request_body.held); piece && slot->collects; piece = piece->next)
		collect(m, ex, slot, &piece->slice, over && !piece->next);
	if (over && slot->collects)
		collect(m, ex, slot, &(struct slice){ 0 }, true);
	return PASS;
}

static void mirror_request_tap(struct policy *p, struct exchange *ex, void *memory, const struct slice *bytes, bool end)
{
	struct mirror_slot *slot = memory;
	if (slot->collects)
		collect((struct mirror *)p, ex, slot, bytes, end);
}

static void mirror_settle(struct policy *p, struct exchange *ex, void *memory, enum ending how)
{
	struct mirror_slot *slot = memory;
	(void)ex; (void)how;
	if (slot->collects)
		give_up((struct mirror *)p, slot, MIRROR_incomplete);
}

const struct policy_type mirror_policy = {
	.name = "mirror", .block = &mirror_block, .slot_size = sizeof(struct mirror_slot), .open = mirror_open, .close = mirror_close,
	.admit = mirror_admit, .request_tap = mirror_request_tap, .settle = mirror_settle,
};
