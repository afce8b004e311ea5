/* keyring.c - see keyring.h.
 *
 *   spring   a source that has users, and the document that it is read from.
 */
#include "app/keyring.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "base/rand.h"
#include "document.h"
#include "edge/jose.h"
#include "edge/loop.h"

enum { LOOK_MS = 1000, SET_MAX = 256 * 1024 };
static const uint64_t PAUSE_MAX_US = 86400000000, EARLY_AGAIN_US = 10000000;

struct keyring {
	uv_loop_t      *uv;
	struct fetcher *fetcher;
	struct shared  *shared;
	struct list     springs;
	uv_timer_t      look;
	uv_async_t      bell;
	unsigned        open;                 /* handles of its own that are not closed */
	struct rand     rand;
	void          (*settled)(void *); void *self;
};

struct spring {
	struct keyring    *ring;
	struct key_source *source;
	struct link        on_springs;
	struct document   *document;
	bool               early;
	char               name[KEY_SOURCE_NAME_MAX + 1];
};

static struct spring *spring_at(struct link *l) { return container_of(l, struct spring, on_springs); }

static struct key_terms terms_of(struct spring *s)
{
	pthread_mutex_lock(&s->source->lock);
	struct key_terms terms = s->source->terms;
	pthread_mutex_unlock(&s->source->lock);
	return terms;
}

uint64_t keyring_pause_us(const struct key_terms *terms, const struct fetch_result *r, unsigned failures, double unit)
{
	if (failures)
		return document_back_off_us(failures, unit);
	bool told = r && r->has_max_age && r->max_age_s;
	uint64_t whole = told ? r->max_age_s * 1000000 : terms->refresh_us;
	whole = whole > PAUSE_MAX_US ? PAUSE_MAX_US : whole;
	return (uint64_t)((double)whole * (0.8 + 0.2 * unit));
}

/* ── what a try has brought ── */

static void tell(const struct spring *s, enum log_level level, const char *event, unsigned keys, const char *error)
{
	struct log_line l;
	log_begin(&l, level, event);
	log_text(&l, "jwks", s->name);
	if (error)
		log_text(&l, "error", error);
	else
		log_u64(&l, "keys", keys);
	log_end(&l);
}

static void failed(void *self, const char *error, bool news)
{
	struct spring *s = self;
	key_source_keep(s->source, error, clock_now_us());
	if (news)
		tell(s, LOG_WARN, "auth_keys_failed", 0, error);
}

static void kept(void *self, bool again)
{
	struct spring *s = self;
	if (again)
		tell(s, LOG_INFO, "auth_keys", s->source->set->count, NULL);
	key_source_keep(s->source, NULL, clock_now_us());
}

/* A file that has not changed is no fetch, but its keys are as new as can be. */
static void seen(void *self)
{
	key_source_seen(((struct spring *)self)->source, clock_now_us());
}

static bool read_set(void *self, struct span bytes, struct text *why)
{
	struct spring *s = self;
	struct key_set *set = jose_read(bytes, why);
	if (!set)
		return false;
	tell(s, LOG_INFO, "auth_keys", set->count, NULL);
	key_source_publish(s->source, set, clock_now_us());
	return true;
}

/* ── when ── */

static uint64_t timeout_us(void *self) { return terms_of(self).timeout_us; }

static uint64_t pause_us(void *self, const struct fetch_result *r, unsigned failures)
{
	struct key_terms terms = terms_of(self);
	return keyring_pause_us(&terms, r, failures, rand_unit(&((struct spring *)self)->ring->rand));
}

static bool all_tried(struct keyring *k)
{
	list_each (l, &k->springs)
		if (!document_tried(spring_at(l)->document))
			return false;
	return true;
}

static void ended(void *self)
{
	struct spring *s = self;
	struct keyring *k = s->ring;
	uint64_t not_before = __atomic_load_n(&s->source->not_before_us, __ATOMIC_RELAXED);
	if (s->early || __atomic_load_n(&s->source->wanted, __ATOMIC_RELAXED))
		not_before = clock_now_us() + EARLY_AGAIN_US;
	s->early = false;
	key_source_ended(s->source, not_before);
	void (*settled)(void *) = k->settled;
	if (settled && all_tried(k)) {
		k->settled = NULL;
		settled(k->self);
	}
}

/* A data thread has seen a token with an unknown key. */
static void rung(uv_async_t *bell)
{
	struct keyring *k = bell->data;
	list_each (l, &k->springs) {
		struct spring *s = spring_at(l);
		if (!__atomic_load_n(&s->source->wanted, __ATOMIC_ACQUIRE))
			continue;
		s->early = true;
		document_hurry(s->document);
	}
}

static void ring(void *waker) { uv_async_send(&((struct keyring *)waker)->bell); }

/* ── following the sources ── */

static void spring_close(struct spring *s)
{
	document_free(s->document);
	key_source_wake_by(s->source, NULL, NULL);
	if (__atomic_load_n(&s->source->wanted, __ATOMIC_RELAXED))
		key_source_ended(s->source, 0);
	shared_give(s->ring->shared, s->source);
	link_remove(&s->on_springs);
	free(s);
}

static void meet(void *self, const struct core_kind *kind, struct span name, void *core)
{
	struct keyring *k = self;
	struct key_source *source = core;
	(void)kind;
	if (!__atomic_load_n(&source->users, __ATOMIC_RELAXED))
		return;
	list_each (l, &k->springs)
		if (spring_at(l)->source == source)
			return;
	struct spring *s = calloc(1, sizeof(*s));
	if (!s)
		return;                           /* at the next look, then */
	s->ring = k;
	s->source = source;
	memcpy(s->name, name.at, name.len);
	const struct document_plan plan = { .name = s->name, .accept = "Accept: application/jwk-set+json, application/json", .bytes_max = SET_MAX,
		.read = read_set, .kept = kept, .seen = seen, .failed = failed, .ended = ended, .timeout_us = timeout_us, .pause_us = pause_us,
		.self = s };
	if (!(s->document = document_new(k->uv, k->fetcher, &plan))) {
		free(s);
		return;
	}
	shared_hold(k->shared, source);
	list_append(&k->springs, &s->on_springs);
	key_source_wake_by(source, ring, k);
}

void keyring_look(struct keyring *k)
{
	list_each (l, &k->springs)
		if (!__atomic_load_n(&spring_at(l)->source->users, __ATOMIC_RELAXED))
			spring_close(spring_at(l));
	shared_each(k->shared, &key_source_kind, meet, k);
}

static void look_around(uv_timer_t *timer) { keyring_look(timer->data); }

void keyring_on_settled(struct keyring *k, void (*settled)(void *), void *self)
{
	if (all_tried(k)) {
		settled(self);
		return;
	}
	k->settled = settled;
	k->self = self;
}

/* ── life ── */

struct keyring *keyring_new(uv_loop_t *uv, struct fetcher *fetcher, struct shared *shared)
{
	struct keyring *k = calloc(1, sizeof(*k));
	if (!k || uv_async_init(uv, &k->bell, rung) != 0) {
		free(k);
		return NULL;
	}
	k->uv = uv;
	k->fetcher = fetcher;
	k->shared = shared;
	k->open = 2;
	list_init(&k->springs);
	rand_seed(&k->rand, uv_hrtime());
	uv_timer_init(uv, &k->look);
	k->look.data = k->bell.data = k;
	uv_timer_start(&k->look, look_around, LOOK_MS, LOOK_MS);
	return k;
}

static void closed(uv_handle_t *h)
{
	struct keyring *k = h->data;
	if (--k->open == 0)
		free(k);
}

void keyring_free(struct keyring *k)
{
	if (!k)
		return;
	list_each (l, &k->springs)
		spring_close(spring_at(l));
	uv_close((uv_handle_t *)&k->look, closed);
	uv_close((uv_handle_t *)&k->bell, closed);
}
