/* concurrency.c - a semaphore with a bounded line in front of it (bulkhead; behaviour §2, §10).
 *
 * One core per upstream and process: so many permits, one line for all workers. A permit that comes back goes to the next in line within the
 * same lock; another worker's slot is told by a message (crossing.h).
 *
 * Always true, under the core's lock:
 *   - in_use is the number of slots HOLDING or GRANTED; streams that of slots STREAMING.
 *   - a WAITING slot is in the line; a GRANTED or SHED one is a parcel for its worker, or about to be told by its own thread.
 *   - nobody waits while a permit is free, but for the moment in which it is handed on.
 */
#include <pthread.h>
#include <stdlib.h>

#include "adaptive.h"
#include "core/exchange.h"
#include "core/shared.h"
#include "crossing.h"
#include "line.h"
#include "policy/registry.h"

/* ── settings ── */

struct concurrency_conf {
	bool     adaptive;
	uint64_t limit, queue, queue_timeout_us, streams_max;
	unsigned discipline;
	struct { uint64_t initial, min, max; unsigned algorithm; } adapt;
	struct conf_dry_run dry_run;
};

static bool read_limit(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	struct concurrency_conf *c = container_of(field, struct concurrency_conf, limit);
	(void)index;
	c->adaptive = span_eq(text, SPAN("adaptive"));
	if (c->adaptive || (span_to_u64(text, 1000000, &c->limit) && c->limit))
		return true;
	conf_complain(r, text, "'" SPAN_FMT "' is not a limit", SPAN_ARG(text));
	conf_hint(r, "write a number from 1 to 1000000, or adaptive");
	return false;
}

#define CONF struct concurrency_conf
static const char *const disciplines[] = { "fifo", "lifo", "adaptive_lifo", NULL };
static const char *const algorithms[] = { "vegas", "gradient2", "aimd", NULL };
static const struct conf_key adapt_keys[] = {
	CONF_COUNT(CONF, "initial", adapt.initial, "20", "1", "1000000", "to begin with"),
	CONF_COUNT(CONF, "min", adapt.min, "2", "1", "1000000", "never below"),
	CONF_COUNT(CONF, "max", adapt.max, "1000", "1", "1000000", "never above"),
	CONF_WORD(CONF, "algorithm", adapt.algorithm, algorithms, "vegas", "how it learns from latency, throughput and time-outs"),
	CONF_END
};
static const struct conf_key streams_keys[] = {
	CONF_COUNT(CONF, "max", streams_max, "1000", "0", "1000000", "event streams and upgrades at a time; they hold no ordinary permit"),
	CONF_END
};
static const struct conf_key concurrency_keys[] = {
	CONF_CUSTOM(CONF, "limit", limit, read_limit, "256", "requests at a time, in the whole process; or: adaptive"),
	{ .name = "adaptive", .type = CONF_T_BLOCK, .keys = adapt_keys, .present_offset = CONF_NO_PRESENCE, .help = "for limit: adaptive" },
	CONF_COUNT(CONF, "queue", queue, "128", "0", "1000000", "so many more wait in line ..."),
	CONF_DURATION(CONF, "queue_timeout", queue_timeout_us, "250ms", "1ms", "1h", "... for so long at most"),
	CONF_WORD(CONF, "discipline", discipline, disciplines, "adaptive_lifo",
		"who is next: the oldest, the newest, or the oldest until the line has stood for 100ms, when CoDel sheds some too"),
	{ .name = "streams", .type = CONF_T_BLOCK, .keys = streams_keys, .present_offset = CONF_NO_PRESENCE,
		.help = "replies without an end in sight" },
	CONF_DRY_RUN(CONF, "decide, count and log, but let everything pass at once"),
	CONF_END
};
#undef CONF

static bool concurrency_check(struct conf_reading *r, void *settings)
{
	const struct concurrency_conf *c = settings;
	if (c->adapt.min <= c->adapt.initial && c->adapt.initial <= c->adapt.max)
		return true;
	conf_complain_key(r, "adaptive.initial", "'adaptive.initial' is not between 'min' and 'max'");
	return false;
}

static const struct conf_block concurrency_block = {
	.name = "concurrency", .keys = concurrency_keys, .size = sizeof(struct concurrency_conf), .levels = CONF_DEFAULTS | CONF_UPSTREAM,
	.scalar_ok = true, .optional = true, .check = concurrency_check, .help = "requests at a time, with a bounded queue",
};

/* ── one per upstream and process ── */

#define REFUSALS(X) X(concurrency_limited) X(queue_timeout) X(deadline_unreachable)
enum refusal {
#define X(word) REFUSED_##word,
	REFUSALS(X)
#undef X
	REFUSAL_COUNT
};

struct concurrency_core {
	pthread_mutex_t lock;
	struct concurrency_conf conf;
	struct adaptive adaptive;
	struct line line;
	struct list crossings;                /* to the workers */
	uint64_t    in_use, streams;
	uint64_t    held_us;                  /* for how long a permit is usually held */
	uint64_t    refused[REFUSAL_COUNT];
	struct hist waits;
	struct { uint64_t count, us; } waited[LINE_CLASSES];  /* whoever no longer waits, or never had to, since delays_us() was asked */
};

enum slot_state { OUTSIDE, WAITING, GRANTED, SHED, HOLDING, STREAMING };
struct concurrency_slot {
	struct waiter    waiter;
	struct timer     patience;
	struct exchange *ex;
	struct concurrency *door;
	enum slot_state  state;
	uint64_t         since_us;            /* holding */
	bool             dropped, sampled;    /* what the adaptive limit is told */
};

struct concurrency {
	struct policy    base;
	struct concurrency_conf conf;
	struct shared   *shared;
	struct concurrency_core *core;
	struct crossing *crossing;
};

static uint64_t limit_of(const struct concurrency_core *c) { return c->conf.adaptive ? adaptive_limit(&c->adaptive) : c->conf.limit; }

static struct adaptive_conf adaptive_conf_of(const struct concurrency_conf *c)
{
	return (struct adaptive_conf){ (enum algorithm)c->adapt.algorithm, c->adapt.initial, c->adapt.min, c->adapt.max };
}

static bool core_init(void *memory, const void *with)
{
	struct concurrency_core *c = memory;
	struct adaptive_conf adapt;
	c->conf = *(const struct concurrency_conf *)with;
	adapt = adaptive_conf_of(&c->conf);
	adaptive_init(&c->adaptive, &adapt, 0);
	line_init(&c->line, (enum discipline)c->conf.discipline);
	list_init(&c->crossings);
	return pthread_mutex_init(&c->lock, NULL) == 0;
}

/* A lower limit kills nobody: it holds as permits come back. A higher one holds from the next that does. */
static void core_adapt(void *memory, const void *with)
{
	struct concurrency_core *c = memory;
	const struct concurrency_conf *conf = with;
	struct adaptive_conf adapt = adaptive_conf_of(conf);
	pthread_mutex_lock(&c->lock);
	if (memcmp(&conf->adapt, &c->conf.adapt, sizeof(conf->adapt)) != 0)
		adaptive_init(&c->adaptive, &adapt, 0);
	c->conf = *conf;
	c->line.discipline = (enum discipline)conf->discipline;
	pthread_mutex_unlock(&c->lock);
}

static void core_fini(void *memory) { pthread_mutex_destroy(&((struct concurrency_core *)memory)->lock); }

/* ── how it is seen ── */

struct seen { uint64_t limit, in_use, waiting, streams, refused[REFUSAL_COUNT]; bool adaptive; };

static struct seen look(void *memory)
{
	struct concurrency_core *c = memory;
	struct seen seen;
	pthread_mutex_lock(&c->lock);
	seen = (struct seen){ limit_of(c), c->in_use, c->line.count, c->streams, { 0 }, c->conf.adaptive };
	memcpy(seen.refused, c->refused, sizeof(seen.refused));
	pthread_mutex_unlock(&c->lock);
	return seen;
}

static void one(struct samples *out, uint64_t value) { out->real(out, NULL, 0, (double)value); }
static void read_limit_now(void *core, uint64_t now_us, struct samples *out) { (void)now_us; one(out, look(core).limit); }
static void read_in_use(void *core, uint64_t now_us, struct samples *out) { (void)now_us; one(out, look(core).in_use); }
static void read_waiting(void *core, uint64_t now_us, struct samples *out) { (void)now_us; one(out, look(core).waiting); }
static void read_streams(void *core, uint64_t now_us, struct samples *out) { (void)now_us; one(out, look(core).streams); }
static void read_waits(void *core, uint64_t now_us, struct samples *out)
{
	(void)now_us;
	out->hist(out, NULL, 0, &((struct concurrency_core *)core)->waits);
}
static void read_refused(void *core, uint64_t now_us, struct samples *out)
{
	static const char *const words[] = {
#define X(word) #word,
		REFUSALS(X)
#undef X
	};
	struct seen seen = look(core);
	(void)now_us;
	for (unsigned i = 0; i < REFUSAL_COUNT; i++)
		out->real(out, &(struct label){ "reason", span_of(words[i]) }, 1, (double)seen.refused[i]);
}

static const struct core_series series[] = {
	{ "outrigger_concurrency_limit", "gauge", "Requests that may be at the upstream at a time.", read_limit_now },
	{ "outrigger_concurrency_in_use", "gauge", "Requests that are.", read_in_use },
	{ "outrigger_concurrency_streams", "gauge", "Event streams and upgrades that are, besides.", read_streams },
	{ "outrigger_concurrency_refused_total", "counter", "Requests that got no permit, and why.", read_refused },
	{ "outrigger_queue_length", "gauge", "Requests that wait for a permit.", read_waiting },
	{ "outrigger_queue_wait_seconds", "histogram", "How long those waited that got one.", read_waits },
	{ NULL, NULL, NULL, NULL }
};

static void state_json(void *core, uint64_t now_us, struct json *j)
{
	struct seen seen = look(core);
	(void)now_us;
	json_u64(j, "limit", seen.limit);
	json_u64(j, "in_use", seen.in_use);
	json_u64(j, "queue_length", seen.waiting);
	json_u64(j, "streams", seen.streams);
	json_bool(j, "adaptive", seen.adaptive);
}

static void summary(void *core, uint64_t now_us, struct text *out)
{
	struct seen seen = look(core);
	(void)now_us;
	text_f(out, "%llu of %llu in use, %llu in line", (unsigned long long)seen.in_use, (unsigned long long)seen.limit,
		(unsigned long long)seen.waiting);
}

static void delays_us(void *core, uint64_t now_us, uint64_t us[PRESSURE_CLASSES])
{
	struct concurrency_core *c = core;
	pthread_mutex_lock(&c->lock);
	for (unsigned i = 0; i < LINE_CLASSES; i++)
		us[i] = c->waited[i].count ? c->waited[i].us / c->waited[i].count : line_age_us(&c->line, i, now_us);
	memset(c->waited, 0, sizeof(c->waited));
	pthread_mutex_unlock(&c->lock);
}

static const struct core_kind concurrency_kind = {
	.name = "concurrency", .label = "upstream", .size = sizeof(struct concurrency_core),
	.init = core_init, .adapt = core_adapt, .fini = core_fini, .series = series, .state = state_json, .summary = summary,
	.delays_us = delays_us,
};

/* ── handing on ── */

static struct concurrency_slot *slot_of(struct link *l) { return container_of(l, struct concurrency_slot, waiter.link); }

/* With the lock held. `mine`: of the thread that is here; its own slots go to the list, those of others are told by a message. */
static void put(struct concurrency_slot *slot, const struct crossing *mine, struct list *here, enum slot_state state)
{
	slot->state = state;
	if (slot->door->crossing == mine)
		list_append(here, &slot->waiter.link);
	else
		crossing_send(slot->door->crossing, &slot->waiter.link);
}

/* With the lock held: this one's wait is over, whatever came of it. */
static void note_wait(struct concurrency_core *c, const struct waiter *w, uint64_t now_us)
{
	c->waited[w->class].count++;
	c->waited[w->class].us += now_us > w->since_us ? now_us - w->since_us : 0;
}

/* Hands free permits to who is next. */
static void hand_on(struct concurrency_core *c, const struct crossing *mine, uint64_t now_us, struct list *news)
{
	struct waiter *w;
	list_init(news);
	while (c->line.count && c->in_use < limit_of(c)) {
		while ((w = line_shed(&c->line, now_us))) {
			c->refused[REFUSED_queue_timeout]++;
			note_wait(c, w, now_us);
			put(slot_of(&w->link), mine, news, SHED);
		}
		if (!(w = line_next(&c->line, now_us)))
			break;
		c->in_use++;
		hist_add(&c->waits, now_us > w->since_us ? now_us - w->since_us : 0);
		note_wait(c, w, now_us);
		put(slot_of(&w->link), mine, news, GRANTED);
	}
}

/* Without the lock, on their own thread. */
static void tell(struct list *news)
{
	for (struct link *l; (l = list_shift(news)); ) {
		struct concurrency_slot *slot = slot_of(l);
		bool granted = slot->state == GRANTED;
		slot->state = granted ? HOLDING : OUTSIDE;
		slot->since_us = slot->ex->worker->now_us;
		worker_disarm(slot->ex->worker, &slot->patience);
		if (granted) {
			exchange_answer(slot->ex, PASS);
			continue;
		}
		counter_add(&slot->ex->route->stats->timeouts[TIMEOUT_queue], 1);
		exchange_cut(slot->ex, slot, REASON_queue_timeout);
	}
}

/* ── the door ── */

static struct policy *concurrency_open(const void *settings, const struct policy_env *env)
{
	struct concurrency *d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	d->base.type = &concurrency_policy;
	d->conf = *(const struct concurrency_conf *)settings;
	d->shared = env->shared;
	d->core = shared_take(env->shared, &concurrency_kind, env->upstream->name, settings);
	if (!d->core) {
		free(d);
		return NULL;
	}
	d->crossing = crossing_take(&d->core->crossings, &d->core->lock, env, d->core, tell);
	if (d->crossing)
		return &d->base;
	shared_give(d->shared, d->core);
	free(d);
	return NULL;
}

static void concurrency_close(struct policy *p)
{
	struct concurrency *d = (struct concurrency *)p;
	crossing_give(d->crossing);
	shared_give(d->shared, d->core);
	free(d);
}

static bool concurrency_wanted(const struct conf_route *route, const void *settings, bool present)
{
	(void)settings;
	return route->upstream && present;
}

/* Its turn did not come in time. If it comes at this very moment on another thread, it has come: the message is on its way. */
static void out_of_patience(struct timer *t)
{
	struct concurrency_slot *slot = container_of(t, struct concurrency_slot, patience);
	struct concurrency_core *c = slot->door->core;
	pthread_mutex_lock(&c->lock);
	bool waits = slot->state == WAITING;
	if (waits) {
		line_leave(&c->line, &slot->waiter);
		note_wait(c, &slot->waiter, slot->ex->worker->now_us);
		slot->state = OUTSIDE;
		c->refused[REFUSED_queue_timeout]++;
	}
	pthread_mutex_unlock(&c->lock);
	if (!waits)
		return;
	counter_add(&slot->ex->route->stats->timeouts[TIMEOUT_queue], 1);
	exchange_cut(slot->ex, slot, REASON_queue_timeout);
}

/* How long a newcomer would wait: so many before it, and `limit` permits that come back once in held_us (Little's law). */
static uint64_t expected_wait_us(const struct concurrency_core *c) { return (c->line.count + 1) * c->held_us / limit_of(c); }

/* With the lock held. REASON_NONE: it has a permit, or stands in line. */
static enum reason join(struct concurrency_core *c, struct concurrency_slot *slot, bool dry_run, uint64_t now_us)
{
	const struct exchange *ex = slot->ex;
	slot->waiter.class = ex->priority;
	slot->waiter.since_us = now_us;
	if (dry_run || (c->in_use < limit_of(c) && !c->line.count)) {
		bool over = c->in_use >= limit_of(c) + c->conf.queue;
		c->in_use++;
		slot->state = HOLDING;
		slot->since_us = now_us;
		note_wait(c, &slot->waiter, now_us);
		return dry_run && over ? REASON_concurrency_limited : REASON_NONE;
	}
	if (c->line.count >= c->conf.queue || ex->expendable)
		return REASON_concurrency_limited;
	if (ex->deadline_us != TIMER_NEVER && now_us + expected_wait_us(c) > ex->deadline_us)
		return REASON_deadline_unreachable;
	slot->state = WAITING;
	line_join(&c->line, &slot->waiter, now_us);
	return REASON_NONE;
}

static enum answer concurrency_admit(struct policy *p, struct exchange *ex, void *memory)
{
	struct concurrency *d = (struct concurrency *)p;
	struct concurrency_core *c = d->core;
	struct concurrency_slot *slot = memory;

	slot->ex = ex;
	slot->door = d;
	link_init(&slot->waiter.link);
	bool dry_run = exchange_dry_run(ex, &d->conf.dry_run);
	pthread_mutex_lock(&c->lock);
	enum reason why = join(c, slot, dry_run, ex->worker->now_us);
	/* armed within the lock: from here on another thread may say that its turn has come, but only this one will hear it */
	enum slot_state state = slot->state;
	if (why != REASON_NONE && !ex->expendable)
		c->refused[why == REASON_concurrency_limited ? REFUSED_concurrency_limited : REFUSED_deadline_unreachable]++;
	pthread_mutex_unlock(&c->lock);
	if (why != REASON_NONE)
		return exchange_turn_away(ex, dry_run, why, 1, NULL);
	if (state == HOLDING)
		return PASS;
	worker_arm(ex->worker, &slot->patience, d->conf.queue_timeout_us, out_of_patience);
	return LATER;
}

static bool is_stream(const struct reply *r)
{
	return r->status == 101 || span_starts_nocase(fields_value(&r->fields, FIELD_CONTENT_TYPE), SPAN("text/event-stream"));
}

/* A stream gives its permit back and takes one of the streams'. false: there is none left. */
static bool become_stream(struct concurrency *d, struct concurrency_slot *slot)
{
	struct concurrency_core *c = d->core;
	struct list news;
	bool dry_run = exchange_dry_run(slot->ex, &d->conf.dry_run);
	pthread_mutex_lock(&c->lock);
	bool room = c->streams < c->conf.streams_max || dry_run;
	c->in_use--;
	slot->state = OUTSIDE;
	if (room) {
		c->streams++;
		slot->state = STREAMING;
	} else
		c->refused[REFUSED_concurrency_limited]++;
	hand_on(c, d->crossing, slot->ex->worker->now_us, &news);
	pthread_mutex_unlock(&c->lock);
	tell(&news);
	return room;
}

static enum answer concurrency_judge(struct policy *p, struct exchange *ex, void *memory)
{
	struct concurrency *d = (struct concurrency *)p;
	struct concurrency_slot *slot = memory;
	if (slot->state != HOLDING)
		return PASS;                      /* its own refusal */
	if (ex->local)
		slot->dropped = ex->reason == REASON_upstream_timeout;
	else if (ex->reply.status == 503 || ex->reply.status == 429)
		slot->dropped = true;
	else if (ex->reply.status && is_stream(&ex->reply)) {
		if (!become_stream(d, slot))
			exchange_refuse(ex, REASON_concurrency_limited, 1, "Too many streams are open to this service.");
	} else
		slot->sampled = ex->reply.status != 0;
	return PASS;
}

/* What the end of a call teaches, with the lock held. */
static void learn(struct concurrency_core *c, const struct concurrency_slot *slot, uint64_t now_us, enum ending how)
{
	bool cut_off = how == END_CUT && slot->ex->cut_by == REASON_deadline_exceeded && slot->ex->patience_us
		&& now_us - slot->since_us >= slot->ex->patience_us / 10 * 9;

	uint64_t held_us = now_us > slot->since_us ? now_us - slot->since_us : 0;
	c->held_us = c->held_us ? (c->held_us * 7 + held_us) / 8 : held_us;
	if (!c->conf.adaptive)
		return;
	if (slot->dropped || cut_off)
		adaptive_drop(&c->adaptive, now_us);
	else if (slot->sampled && how == END_SENT)
		adaptive_sample(&c->adaptive, now_us, now_us - slot->since_us, c->in_use);
}

static void concurrency_settle(struct policy *p, struct exchange *ex, void *memory, enum ending how)
{
	struct concurrency *d = (struct concurrency *)p;
	struct concurrency_core *c = d->core;
	struct concurrency_slot *slot = memory;
	uint64_t now_us = ex->worker->now_us;
	struct list news;

	worker_disarm(ex->worker, &slot->patience);
	pthread_mutex_lock(&c->lock);
	switch (slot->state) {
	case WAITING:
		line_leave(&c->line, &slot->waiter);
		note_wait(c, &slot->waiter, now_us);
		break;
	case SHED:      link_remove(&slot->waiter.link); break;
	case STREAMING: c->streams--; break;
	case GRANTED:                             /* it never heard of it: the next one will */
		link_remove(&slot->waiter.link);
		c->in_use--;
		break;
	case HOLDING:
		learn(c, slot, now_us, how);
		c->in_use--;
		break;
	case OUTSIDE:   break;
	}
	slot->state = OUTSIDE;
	hand_on(c, d->crossing, now_us, &news);
	pthread_mutex_unlock(&c->lock);
	tell(&news);
}

const struct policy_type concurrency_policy = {
	.name = "concurrency", .block = &concurrency_block, .wanted = concurrency_wanted, .per_try = true,
	.slot_size = sizeof(struct concurrency_slot), .open = concurrency_open, .close = concurrency_close,
	.admit = concurrency_admit, .judge = concurrency_judge, .settle = concurrency_settle,
};
