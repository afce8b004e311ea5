/* keyring.c - see keyring.h.
 *
 *   spring   a source that has users; either its timer is armed, or a fetch runs. Frees itself when uv has closed its timer.
 */
#include "app/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "base/rand.h"
#include "edge/jose.h"
#include "edge/loop.h"

enum { LOOK_MS = 1000, SET_MAX = 256 * 1024, ETAG_MAX = 256, BACK_OFF_US = 500000 };
static const uint64_t BACK_OFF_MAX_US = 60000000, PAUSE_MAX_US = 86400000000, EARLY_AGAIN_US = 10000000;

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
	uv_timer_t         due;
	struct fetch      *fetch;
	bool               tried, early;
	unsigned           failures;          /* in a row */
	struct text        seen;              /* the bytes of the set that holds */
	char               etag[ETAG_MAX + 1];
	struct stat        stat;              /* of the file when it was read last */
	char               name[KEY_SOURCE_NAME_MAX + 1];
};

static struct spring *spring_at(struct link *l) { return container_of(l, struct spring, on_springs); }
static bool is_file(const struct spring *s) { return span_starts(span_of(s->name), SPAN("file:")); }

static struct key_terms terms_of(struct spring *s)
{
	pthread_mutex_lock(&s->source->lock);
	struct key_terms terms = s->source->terms;
	pthread_mutex_unlock(&s->source->lock);
	return terms;
}

uint64_t keyring_pause_us(const struct key_terms *terms, const struct fetch_result *r, unsigned failures, double unit)
{
	if (failures) {
		uint64_t most = failures > 10 ? BACK_OFF_MAX_US : (uint64_t)BACK_OFF_US << (failures - 1);
		return (uint64_t)((double)(most < BACK_OFF_MAX_US ? most : BACK_OFF_MAX_US) * (0.5 + 0.5 * unit));
	}
	bool told = r && r->has_max_age && r->max_age_s;
	uint64_t whole = told ? r->max_age_s * 1000000 : terms->refresh_us;
	whole = whole > PAUSE_MAX_US ? PAUSE_MAX_US : whole;
	return (uint64_t)((double)whole * (0.8 + 0.2 * unit));
}

/* ── what a fetch has brought ── */

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

/* The first failure is told, and whenever it is another one. */
static void failed(struct spring *s, const char *error)
{
	bool same = s->failures && strcmp(s->source->state.error, error) == 0;   /* written by this thread only */
	s->failures++;
	key_source_keep(s->source, error, clock_now_us());
	if (!same)
		tell(s, LOG_WARN, "auth_keys_failed", 0, error);
}

static void unchanged(struct spring *s)
{
	if (s->failures)
		tell(s, LOG_INFO, "auth_keys", s->source->set->count, NULL);
	s->failures = 0;
	key_source_keep(s->source, NULL, clock_now_us());
}

static void got(struct spring *s, struct span bytes)
{
	char words[KEY_ERROR_MAX];
	struct text why;
	if (s->source->set && span_eq(bytes, text_span(&s->seen))) {
		unchanged(s);
		return;
	}
	text_over(&why, words, sizeof(words) - 1);
	struct key_set *set = jose_read(bytes, &why);
	words[why.len] = '\0';
	if (!set) {
		failed(s, words);
		return;
	}
	s->failures = 0;
	s->seen.len = 0;
	text_add(&s->seen, bytes);
	tell(s, LOG_INFO, "auth_keys", set->count, NULL);
	key_source_publish(s->source, set, clock_now_us());
}

/* ── when ── */

static void due(uv_timer_t *timer);

static bool all_tried(struct keyring *k)
{
	list_each (l, &k->springs)
		if (!spring_at(l)->tried)
			return false;
	return true;
}

static void ended(struct spring *s, uint64_t pause_us)
{
	struct keyring *k = s->ring;
	uint64_t not_before = __atomic_load_n(&s->source->not_before_us, __ATOMIC_RELAXED);
	if (s->early || __atomic_load_n(&s->source->wanted, __ATOMIC_RELAXED))
		not_before = clock_now_us() + EARLY_AGAIN_US;
	s->early = false;
	s->tried = true;
	uv_timer_start(&s->due, due, (pause_us + 999) / 1000, 0);
	key_source_ended(s->source, not_before);
	void (*settled)(void *) = k->settled;
	if (settled && all_tried(k)) {
		k->settled = NULL;
		settled(k->self);
	}
}

static void fetched(void *self, const struct fetch_result *r)
{
	struct spring *s = self;
	struct key_terms terms = terms_of(s);
	char words[32];
	struct text t;

	s->fetch = NULL;
	if (r->ok && r->status == 200) {
		got(s, r->body);
		size_t len = s->failures || r->etag.len > ETAG_MAX ? 0 : r->etag.len;
		memcpy(s->etag, len ? r->etag.at : "", len);
		s->etag[len] = '\0';
	} else if (r->ok && r->status == 304 && s->source->set) {
		unchanged(s);
	} else if (r->ok) {
		text_over(&t, words, sizeof(words) - 1);
		text_f(&t, "status %d", r->status);
		words[t.len] = '\0';
		failed(s, words);
	} else
		failed(s, r->error);
	ended(s, keyring_pause_us(&terms, r, s->failures, rand_unit(&s->ring->rand)));
}

static void fetch(struct spring *s)
{
	char condition[ETAG_MAX + 20];
	const char *headers[] = { "Accept: application/jwk-set+json, application/json", condition };
	snprintf(condition, sizeof(condition), "If-None-Match: %s", s->etag);
	struct fetch_request r = { .url = s->name, .headers = headers, .header_count = s->etag[0] ? 2 : 1, .timeout_us = terms_of(s).timeout_us,
		.max_body = SET_MAX, .done = fetched, .self = s };
	s->fetch = fetch_start(s->ring->fetcher, &r);
	if (s->fetch)
		return;
	failed(s, "out of memory");
	ended(s, BACK_OFF_US);
}

/* ── files ── */

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec
		&& a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Small, and on a disk: read here and now. */
static void read_file(struct spring *s)
{
	char piece[8192];
	ssize_t n = -1;
	struct text bytes;
	int fd = open(s->name + strlen("file:"), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	text_init(&bytes, SET_MAX);
	if (fd >= 0 && fstat(fd, &s->stat) == 0)
		while ((n = read(fd, piece, sizeof(piece))) > 0)
			text_add(&bytes, (struct span){ piece, (size_t)n });
	if (n < 0) {
		failed(s, strerror(errno));
		memset(&s->stat, 0, sizeof(s->stat));
	} else if (bytes.cut)
		failed(s, "the file is too long");
	else
		got(s, text_span(&bytes));
	if (fd >= 0)
		close(fd);
	text_fini(&bytes);
	ended(s, (uint64_t)LOOK_MS * 1000);
}

static void look_at_file(struct spring *s)
{
	struct stat now;
	if (s->early || !s->tried || stat(s->name + strlen("file:"), &now) != 0 || !same_file(&now, &s->stat))
		read_file(s);
	else
		uv_timer_start(&s->due, due, LOOK_MS, 0);
}

static void begin(struct spring *s)
{
	if (is_file(s))
		look_at_file(s);
	else
		fetch(s);
}

static void due(uv_timer_t *timer) { begin(container_of(timer, struct spring, due)); }

/* A data thread has seen a token with an unknown key. */
static void rung(uv_async_t *bell)
{
	struct keyring *k = bell->data;
	list_each (l, &k->springs) {
		struct spring *s = spring_at(l);
		if (!__atomic_load_n(&s->source->wanted, __ATOMIC_ACQUIRE) || s->fetch)
			continue;
		s->early = true;
		uv_timer_stop(&s->due);
		begin(s);
	}
}

static void ring(void *waker) { uv_async_send(&((struct keyring *)waker)->bell); }

/* ── following the sources ── */

static void spring_closed(uv_handle_t *h)
{
	struct spring *s = container_of((uv_timer_t *)h, struct spring, due);
	text_fini(&s->seen);
	free(s);
}

static void spring_close(struct spring *s)
{
	fetch_cancel(s->fetch);
	key_source_wake_by(s->source, NULL, NULL);
	if (__atomic_load_n(&s->source->wanted, __ATOMIC_RELAXED))
		key_source_ended(s->source, 0);
	shared_give(s->ring->shared, s->source);
	link_remove(&s->on_springs);
	uv_close((uv_handle_t *)&s->due, spring_closed);
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
	text_init(&s->seen, SET_MAX);
	shared_hold(k->shared, source);
	uv_timer_init(k->uv, &s->due);
	uv_timer_start(&s->due, due, 0, 0);
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
