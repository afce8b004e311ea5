/* redis.c - see redis.h.
 *
 * Invariants: `line` holds what was written and not answered, in that order. A pending without a call was given up (by its caller or by the
 * clock); its answer is still to come and goes nowhere. While not READY `line` holds only commands of the greeting.
 */
#include "edge/redis.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/digest.h"
#include "base/log.h"
#include "base/must.h"
#include "edge/stream.h"
#include "redis_core.h"

enum {
	PENDING_MAX = 10000, OUT_MAX = 16 * 1024 * 1024, REPLY_MAX = 32 * 1024 * 1024, SCRIPTS = 16, WORDS_MAX = 64,
	SLOW_IN_A_ROW = 3, GREETING_US = 1000000, HEARTBEAT_US = 5000000, FIRST_PAUSE_US = 100000, PAUSE_US = 1000000, LONGEST_PAUSE_US = 4000000,
};

/* ── of the worker ── */

enum redis_state { REDIS_DOWN, REDIS_CONNECTING, REDIS_READY };
enum pending_kind { PENDING_CALL, PENDING_GREETING, PENDING_HEARTBEAT, PENDING_LOAD };

struct pending {
	struct link link;
	struct redis *redis;
	enum pending_kind kind;
	bool   loaded, late;                  /* the script was sent after all; the clock has given up on it */
	struct store_call *call;              /* NULL: nobody wants to know */
	const struct store_script *script;
	uint64_t until_us;
	char  *bytes; size_t len;             /* kept of scripts only, to say it again */
};

struct connection { struct stream stream; struct redis *redis; redisReader *reader; };

struct redis {
	unsigned      refs;
	struct loop  *loop;
	struct shared *shared;
	struct redis_core *core;
	struct upstream *target;
	struct connection *connection;        /* NULL: none */
	enum redis_state state;
	unsigned      slow_in_a_row, failures, addresses_tried, line_count;
	struct list   line;
	struct timer  patience, again, heartbeat;
	struct { const struct store_script *script; char sha1[41]; } scripts[SCRIPTS]; unsigned script_count;
	uint64_t      timeout_us;
	char          instance[32]; size_t instance_len;
	char         *name, *user, *database, *password, *url;
};

static void connect_now(struct redis *);
static void fail(struct redis *, const char *cause, struct span detail);
static void send_heartbeat(struct timer *);

static uint64_t now_of(const struct redis *r) { return r->loop->worker.now_us; }
static void count(struct redis *r, enum store_result result) { __atomic_fetch_add(&r->core->results[result], 1, __ATOMIC_RELAXED); }

/* ── asking ── */

static void pending_free(struct pending *p)
{
	link_remove(&p->link);
	if (p->call)
		p->call->pending = NULL;
	p->redis->line_count--;
	redisFreeCommand(p->bytes);
	free(p);
}

static void answer(struct pending *p, enum store_result result, struct span reply)
{
	struct store_call *call = p->call;
	if (p->kind == PENDING_CALL && !p->late && call)
		count(p->redis, result);
	p->call = NULL;
	if (call) {
		call->pending = NULL;
		call->done(call, result, reply);
	}
}

static void out_of_patience(struct timer *t)
{
	struct redis *r = container_of(t, struct redis, patience);
	if (r->state == REDIS_CONNECTING) {
		fail(r, "no greeting in time", SPAN_NONE);
		return;
	}
	list_each(l, &r->line) {
		struct pending *p = container_of(l, struct pending, link);
		if (p->late)
			continue;
		if (p->until_us > now_of(r)) {
			worker_arm(&r->loop->worker, t, p->until_us - now_of(r), out_of_patience);
			return;
		}
		if (++r->slow_in_a_row >= SLOW_IN_A_ROW) {
			fail(r, "no answer in time", SPAN_NONE);
			return;
		}
		answer(p, STORE_slow, SPAN_NONE);
		p->late = true;
	}
}

static bool write_command(struct redis *r, const char *bytes, size_t len)
{
	if (len > OUT_MAX - r->connection->stream.out.len)        /* too much is under way: the stream is none the worse for it */
		return false;
	if (len > CHUNK_BODY)                     /* more than stands in one run: a kept answer */
		return stream_send(&r->connection->stream, slice_of((struct span){ bytes, len }));
	char *room = stream_room(&r->connection->stream, len);
	if (!room)
		return false;
	memcpy(room, bytes, len);
	stream_grew(&r->connection->stream, len);
	return true;
}

/* Sends a command and puts it in the line. NULL: no memory, or too much is under way. */
static struct pending *put(struct redis *r, enum pending_kind kind, const struct span *words, unsigned n)
{
	const char *argv[WORDS_MAX];
	size_t lens[WORDS_MAX];
	struct pending *p = r->line_count < PENDING_MAX && n <= WORDS_MAX ? calloc(1, sizeof(*p)) : NULL;
	if (!p)
		return NULL;
	for (unsigned i = 0; i < n; i++) {
		argv[i] = words[i].at ? words[i].at : "";
		lens[i] = words[i].len;
	}
	int len = (int)redisFormatCommandArgv(&p->bytes, (int)n, argv, lens);
	if (len <= 0 || !write_command(r, p->bytes, (size_t)len)) {
		if (len > 0)
			redisFreeCommand(p->bytes);
		free(p);
		return NULL;
	}
	p->len = (size_t)len;
	p->redis = r;
	p->kind = kind;
	p->until_us = now_of(r) + (kind == PENDING_GREETING ? GREETING_US : r->timeout_us);
	link_init(&p->link);
	list_append(&r->line, &p->link);
	r->line_count++;
	if (!timer_armed(&r->patience))
		worker_arm(&r->loop->worker, &r->patience, p->until_us - now_of(r), out_of_patience);
	return p;
}

static const char *sha1_of(struct redis *r, const struct store_script *script)
{
	unsigned char digest[SHA1_BYTES];
	for (unsigned i = 0; i < r->script_count; i++)
		if (r->scripts[i].script == script)
			return r->scripts[i].sha1;
	must(r->script_count < SCRIPTS);          /* scripts are static: as many as there are in the source */
	char *out = r->scripts[r->script_count].sha1;
	if (!digest_sha1(span_of(script->text), digest))
		return NULL;
	digest_hex(digest, SHA1_BYTES, out);
	r->scripts[r->script_count++].script = script;
	return out;
}

static struct pending *put_script(struct redis *r, enum pending_kind kind, const struct store_script *script, const struct span *words, unsigned n)
{
	struct span all[WORDS_MAX];
	const char *sha1 = n + 2 <= WORDS_MAX ? sha1_of(r, script) : NULL;
	if (!sha1)
		return NULL;
	all[0] = SPAN("EVALSHA");
	all[1] = span_of(sha1);
	memcpy(all + 2, words, n * sizeof(*words));
	struct pending *p = put(r, kind, all, n + 2);
	if (p)
		p->script = script;
	return p;
}

static void redis_ask(void *self, struct store_call *call, const struct store_script *script, const struct span *words, unsigned n)
{
	struct redis *r = self;
	struct pending *p = NULL;
	call->pending = NULL;
	if (r->state == REDIS_READY)
		p = script ? put_script(r, PENDING_CALL, script, words, n) : put(r, PENDING_CALL, words, n);
	if (!p) {
		count(r, STORE_down);
		call->done(call, STORE_down, SPAN_NONE);
		return;
	}
	p->call = call;
	call->pending = p;
}

static void redis_cancel(void *self, struct store_call *call)
{
	struct pending *p = call->pending;
	(void)self;
	call->pending = NULL;
	if (p)
		p->call = NULL;
}

static unsigned redis_instances(void *self)
{
	uint64_t n = __atomic_load_n(&((struct redis *)self)->core->instances, __ATOMIC_RELAXED);
	return n ? (unsigned)n : 1;
}

static void redis_hold(void *self) { ((struct redis *)self)->refs++; }
static void redis_release(void *self) { redis_give(self); }

static const struct store_ops redis_ops = {
	.ask = redis_ask, .cancel = redis_cancel, .instances = redis_instances, .hold = redis_hold, .give = redis_release,
};

struct store redis_store(struct redis *r) { return (struct store){ span_of(r->name), &redis_ops, r }; }

/* ── coming and going ── */

static void connection_free(struct stream *s)
{
	struct connection *c = container_of(s, struct connection, stream);
	redisReaderFree(c->reader);
	free(c);
}

static void try_again(struct timer *t) { connect_now(container_of(t, struct redis, again)); }

static void tell_change(struct redis *r, const char *event, enum log_level level, const char *cause, struct span detail)
{
	struct log_line l;
	log_begin(&l, level, event);
	log_text(&l, "store", r->name);
	log_u64(&l, "worker", r->loop->worker.index);
	if (cause)
		log_text(&l, "cause", cause);
	if (detail.len)
		log_span(&l, "detail", detail);
	log_end(&l);
}

static void drop_connection(struct redis *r)
{
	if (r->connection) {
		r->connection->redis = NULL;
		stream_close(&r->connection->stream);
	}
	r->connection = NULL;
	worker_disarm(&r->loop->worker, &r->patience);
	worker_disarm(&r->loop->worker, &r->heartbeat);
}

static void answer_all_down(struct redis *r)
{
	struct link *l;
	while ((l = list_first(&r->line))) {
		struct pending *p = container_of(l, struct pending, link);
		answer(p, STORE_down, SPAN_NONE);
		pending_free(p);
	}
}

static void fail(struct redis *r, const char *cause, struct span detail)
{
	bool was_ready = r->state == REDIS_READY;
	uint64_t pause = was_ready || r->failures == 0 ? FIRST_PAUSE_US : PAUSE_US << (r->failures < 4 ? r->failures - 1 : 3);
	if (was_ready)
		r->failures = 0;
	if (was_ready || r->failures == 0)
		tell_change(r, "store_down", LOG_WARN, cause, detail);
	r->failures++;
	r->state = REDIS_DOWN;
	if (was_ready)
		__atomic_fetch_sub(&r->core->connected, 1, __ATOMIC_RELAXED);
	drop_connection(r);
	pause = pause < LONGEST_PAUSE_US ? pause : LONGEST_PAUSE_US;
	worker_arm(&r->loop->worker, &r->again, pause * 3 / 4 + rand_below(&r->loop->worker.rand, pause / 2), try_again);
	answer_all_down(r);
}

static void ready_now(struct redis *r)
{
	r->state = REDIS_READY;
	r->slow_in_a_row = 0;
	worker_disarm(&r->loop->worker, &r->patience);        /* it was the greeting's */
	if (r->failures)
		tell_change(r, "store_up", LOG_INFO, NULL, SPAN_NONE);
	r->failures = 0;
	__atomic_fetch_add(&r->core->connected, 1, __ATOMIC_RELAXED);
}

/* ── what comes back ── */

static const struct store_script heartbeat = {
	"local now = redis.call('TIME')[1] "
	"redis.call('ZADD', KEYS[1], now, ARGV[1]) "
	"redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 15) "
	"redis.call('EXPIRE', KEYS[1], 60) "
	"return redis.call('ZCARD', KEYS[1])"
};

static void send_heartbeat(struct timer *t)
{
	struct redis *r = container_of(t, struct redis, heartbeat);
	const struct span words[] = { SPAN("1"), SPAN("outrigger:instances"), { r->instance, r->instance_len } };
	put_script(r, PENDING_HEARTBEAT, &heartbeat, words, 3);
	worker_arm(&r->loop->worker, &r->heartbeat, HEARTBEAT_US, send_heartbeat);
}

static struct span words_of(const redisReply *reply, char number[24])
{
	if (reply->type == REDIS_REPLY_INTEGER)
		return (struct span){ number, (size_t)snprintf(number, 24, "%lld", reply->integer) };
	if (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS || reply->type == REDIS_REPLY_ERROR)
		return (struct span){ reply->str, (size_t)reply->len };
	return SPAN_NONE;
}

/* The script is not there (a new Redis, or SCRIPT FLUSH): it is loaded, and the same asked again, behind each other in the pipe. */
static bool say_again(struct redis *r, struct pending *p)
{
	const struct span load[] = { SPAN("SCRIPT"), SPAN("LOAD"), span_of(p->script->text) };
	if (!put(r, PENDING_LOAD, load, 3) || !write_command(r, p->bytes, p->len))
		return false;
	p->loaded = true;
	p->until_us = now_of(r) + r->timeout_us;
	link_remove(&p->link);
	list_append(&r->line, &p->link);
	return true;
}

/* Returns false when the connection is no longer there. */
static bool take_reply(struct redis *r, const redisReply *reply)
{
	struct link *first = list_first(&r->line);
	struct pending *p = first ? container_of(first, struct pending, link) : NULL;
	char number[24];
	struct span words = words_of(reply, number);
	bool error = reply->type == REDIS_REPLY_ERROR;

	if (!p) {
		fail(r, "an answer that nobody asked for", SPAN_NONE);
		return false;
	}
	if (error && p->script && !p->loaded && span_starts(words, SPAN("NOSCRIPT"))) {
		if (say_again(r, p))
			return true;
		fail(r, "out of memory", SPAN_NONE);
		return false;
	}
	if (p->kind != PENDING_CALL && error) {           /* AUTH, SELECT, a read-only replica, out of memory, loading: of no use to us */
		fail(r, "it refuses", words);
		return false;
	}
	uint64_t instances;
	if (p->kind == PENDING_HEARTBEAT && span_to_u64(words, 1000000, &instances)) {
		__atomic_store_n(&r->core->instances, instances, __ATOMIC_RELAXED);
		if (r->state == REDIS_CONNECTING)
			ready_now(r);
	}
	if (!p->late)
		r->slow_in_a_row = 0;
	answer(p, error ? STORE_refused : STORE_ok, words);
	pending_free(p);
	return true;
}

static void input(struct stream *s)
{
	struct connection *c = container_of(s, struct connection, stream);
	struct redis *r = c->redis;
	struct slice got;
	enum stream_got what = stream_read(s, false, &got);
	void *reply = NULL;

	if (what == GOT_NOTHING)
		return;
	if (what != GOT_BYTES) {
		fail(r, what == GOT_END ? "it closed the connection" : "the connection broke", SPAN_NONE);
		return;
	}
	if (redisReaderFeed(c->reader, got.at, got.len) != REDIS_OK) {
		fail(r, "out of memory", SPAN_NONE);
		return;
	}
	r->refs++;                                /* a caller that is answered may let go of it */
	bool goes_on = true;
	while (goes_on && r->connection == c && redisReaderGetReply(c->reader, &reply) == REDIS_OK && reply) {
		goes_on = take_reply(r, reply);
		freeReplyObject(reply);
		reply = NULL;
	}
	if (r->connection == c && (c->reader->err || c->reader->len - c->reader->pos > REPLY_MAX))
		fail(r, "what it says is not Redis'", span_of(c->reader->errstr));
	redis_give(r);
}

static void wrote(struct stream *s, size_t n) { (void)s; (void)n; }

static void gone(struct stream *s, bool reset)
{
	(void)reset;
	fail(container_of(s, struct connection, stream)->redis, "the connection broke", SPAN_NONE);
}

static bool greet(struct redis *r)
{
	const struct span auth[] = { SPAN("AUTH"), span_of(*r->user ? r->user : r->password), span_of(r->password) };
	const struct span choose[] = { SPAN("SELECT"), span_of(r->database) };
	const struct span beat[] = { SPAN("1"), SPAN("outrigger:instances"), { r->instance, r->instance_len } };
	return (!*r->password || put(r, PENDING_GREETING, auth, *r->user ? 3 : 2))
		&& (strcmp(r->database, "0") == 0 || put(r, PENDING_GREETING, choose, 2))
		&& put_script(r, PENDING_HEARTBEAT, &heartbeat, beat, 3);
}

static void connected(struct stream *s, int error)
{
	struct redis *r = container_of(s, struct connection, stream)->redis;
	if (error && r->addresses_tried < 2 * ENDPOINT_ADDRESSES) {
		struct address address;
		enum reason why;
		struct endpoint_set *set = upstream_endpoints(r->target);
		bool another = set->count && r->addresses_tried < endpoint_address_count(set->at[0]) && endpoint_address(set->at[0], &address, &why);
		endpoint_set_unref(set);
		r->addresses_tried++;
		if (another && stream_reconnect(s, (struct sockaddr *)&address.at, address.len) == 0)
			return;
	}
	if (error)
		fail(r, "cannot be reached", span_of(strerror(error)));
	else if (!greet(r))
		fail(r, "out of memory", SPAN_NONE);
	else {
		worker_arm(&r->loop->worker, &r->patience, GREETING_US, out_of_patience);
		worker_arm(&r->loop->worker, &r->heartbeat, HEARTBEAT_US, send_heartbeat);
	}
}

static const struct stream_events events = { .input = input, .wrote = wrote, .connected = connected, .gone = gone, .free = connection_free };

static void connect_now(struct redis *r)
{
	struct connection *c = calloc(1, sizeof(*c));
	struct endpoint_set *set = upstream_endpoints(r->target);
	struct address address;
	enum reason why = REASON_dns_error;
	int error = 0;

	bool known = set->count && endpoint_address(set->at[0], &address, &why);
	endpoint_set_unref(set);
	if (c && known && (c->reader = redisReaderCreate()))
		error = stream_connect(&c->stream, r->loop, (struct sockaddr *)&address.at, address.len, &events, OUT_MAX);
	if (!c || !c->reader || error) {
		if (c && c->reader)
			redisReaderFree(c->reader);
		free(c);
		fail(r, known ? "cannot be reached" : "no address", span_of(known ? strerror(error) : reason_name(why)));
		return;
	}
	r->addresses_tried = 1;
	c->redis = r;
	r->connection = c;
	r->state = REDIS_CONNECTING;
	worker_arm(&r->loop->worker, &r->patience, GREETING_US, out_of_patience);
}

/* ── life ── */

static char *copy_of(struct span s)
{
	char *out = malloc(s.len + 1);
	if (!out)
		return NULL;
	if (s.len)
		memcpy(out, s.at, s.len);
	out[s.len] = '\0';
	return out;
}

static void redis_free(struct redis *r)
{
	if (r->core) {
		if (r->state == REDIS_READY)
			__atomic_fetch_sub(&r->core->connected, 1, __ATOMIC_RELAXED);
		__atomic_fetch_sub(&r->core->workers, 1, __ATOMIC_RELAXED);
		shared_give(r->shared, r->core);
	}
	if (r->target)
		upstream_unref(r->target);
	free(r->name);
	free(r->user);
	free(r->database);
	free(r->password);
	free(r->url);
	free(r);
}

struct redis *redis_new(const struct redis_parts *parts)
{
	struct redis *r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->refs = 1;
	r->loop = parts->loop;
	r->shared = parts->shared;
	list_init(&r->line);
	r->timeout_us = parts->conf->timeout_us;
	r->instance_len = parts->instance.len < sizeof(r->instance) ? parts->instance.len : sizeof(r->instance);
	memcpy(r->instance, parts->instance.at, r->instance_len);
	r->name = copy_of(parts->conf->name);
	r->user = copy_of(parts->conf->user);
	r->database = copy_of(parts->conf->database);
	r->password = copy_of(parts->password);
	r->url = copy_of(parts->conf->url);
	r->core = shared_take(parts->shared, &redis_kind, parts->conf->name, NULL);
	if (r->core)
		__atomic_fetch_add(&r->core->workers, 1, __ATOMIC_RELAXED);
	r->target = upstream_ref(parts->target);
	if (!r->name || !r->user || !r->database || !r->password || !r->url || !r->core) {
		redis_free(r);
		return NULL;
	}
	worker_arm(&r->loop->worker, &r->again, 0, try_again);
	return r;
}

bool redis_is(const struct redis *r, const struct redis_parts *parts)
{
	return span_eq(span_of(r->name), parts->conf->name) && span_eq(span_of(r->url), parts->conf->url)
		&& span_eq(span_of(r->password), parts->password) && r->timeout_us == parts->conf->timeout_us;
}

void redis_move(struct redis *r, struct upstream *target)
{
	upstream_ref(target);
	upstream_unref(r->target);
	r->target = target;
}

void redis_give(struct redis *r)
{
	if (--r->refs)
		return;
	drop_connection(r);
	worker_disarm(&r->loop->worker, &r->again);
	while (list_first(&r->line)) {
		struct pending *p = container_of(list_first(&r->line), struct pending, link);
		must(!p->call);                   /* whoever asks holds it */
		pending_free(p);
	}
	redis_free(r);
}

const char *redis_version(void)
{
#define WORD_(x) #x
#define WORD(x) WORD_(x)
	return WORD(HIREDIS_MAJOR) "." WORD(HIREDIS_MINOR) "." WORD(HIREDIS_PATCH);
}
