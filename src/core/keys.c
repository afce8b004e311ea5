/* keys.c - see keys.h. The lock is held to look at a set or to put another one in its place, never while keys are used. */
#include "core/keys.h"

#include "base/must.h"

#define X(word) #word,
static const char *const alg_names[] = { JWS_ALGS(X) };
#undef X
const char *jws_alg_name(enum jws_alg alg) { return alg_names[alg]; }

bool jws_alg_of(struct span word, enum jws_alg *out)
{
	for (unsigned i = 0; i < JWS_ALG_COUNT; i++)
		if (span_eq(word, span_of(alg_names[i]))) {
			*out = (enum jws_alg)i;
			return true;
		}
	return false;
}

void key_set_unref(struct key_set *set)
{
	if (set && __atomic_sub_fetch(&set->refs, 1, __ATOMIC_ACQ_REL) == 0)
		set->ops->free(set);
}

/* ── the source, as a core ── */

static bool source_init(void *memory, const void *with)
{
	struct key_source *s = memory;
	s->terms = *(const struct key_terms *)with;
	return pthread_mutex_init(&s->lock, NULL) == 0;
}

static void source_adapt(void *memory, const void *with)
{
	struct key_source *s = memory;
	pthread_mutex_lock(&s->lock);
	s->terms = *(const struct key_terms *)with;
	pthread_mutex_unlock(&s->lock);
}

static void source_fini(void *memory)
{
	struct key_source *s = memory;
	key_set_unref(s->set);
	pthread_mutex_destroy(&s->lock);
}

/* ── how it is seen ── */

struct seen { struct key_state state; unsigned keys; };

static struct seen look(void *memory)
{
	struct key_source *s = memory;
	pthread_mutex_lock(&s->lock);
	struct seen seen = { s->state, s->set ? s->set->count : 0 };
	pthread_mutex_unlock(&s->lock);
	return seen;
}

static double age_s(const struct seen *seen, uint64_t now_us)
{
	return seen->state.fetched_us && now_us > seen->state.fetched_us ? (double)(now_us - seen->state.fetched_us) / 1e6 : 0;
}

static void read_fetches(void *core, uint64_t now_us, struct samples *out)
{
	struct seen seen = look(core);
	(void)now_us;
	out->real(out, &(struct label){ "result", SPAN("ok") }, 1, (double)seen.state.fetched);
	out->real(out, &(struct label){ "result", SPAN("unchanged") }, 1, (double)seen.state.unchanged);
	out->real(out, &(struct label){ "result", SPAN("failed") }, 1, (double)seen.state.failed);
}

static void read_keys(void *core, uint64_t now_us, struct samples *out)
{
	(void)now_us;
	out->real(out, NULL, 0, look(core).keys);
}

static void read_age(void *core, uint64_t now_us, struct samples *out)
{
	struct seen seen = look(core);
	out->real(out, NULL, 0, age_s(&seen, now_us));
}

static const struct core_series series[] = {
	{ "outrigger_auth_keys", "gauge", "Keys that tokens are checked with; 0: none were got yet.", read_keys },
	{ "outrigger_auth_keys_age_seconds", "gauge", "Since they were last fetched, or found unchanged.", read_age },
	{ "outrigger_auth_key_fetches_total", "counter", "Fetches of these keys, by what came of them.", read_fetches },
	{ NULL, NULL, NULL, NULL }
};

static void state_json(void *core, uint64_t now_us, struct json *j)
{
	struct seen seen = look(core);
	json_u64(j, "keys", seen.keys);
	json_fixed(j, "age_s", age_s(&seen, now_us), 1);
	json_u64(j, "fetched", seen.state.fetched);
	json_u64(j, "unchanged", seen.state.unchanged);
	json_u64(j, "failed", seen.state.failed);
	json_text(j, "error", seen.state.error);
}

static void summary(void *core, uint64_t now_us, struct text *out)
{
	struct seen seen = look(core);
	if (seen.keys)
		text_f(out, "%u key%s, %.0f s old", seen.keys, seen.keys == 1 ? "" : "s", age_s(&seen, now_us));
	else
		text_add(out, SPAN("no keys yet"));
	if (seen.state.error[0])
		text_f(out, "; last try: %s", seen.state.error);
}

const struct core_kind key_source_kind = {
	.name = "auth_keys", .label = "jwks", .size = sizeof(struct key_source), .init = source_init, .adapt = source_adapt, .fini = source_fini,
	.series = series, .state = state_json, .summary = summary,
};

/* ── users ── */

struct key_source *key_source_take(struct shared *shared, struct span name, const struct key_terms *terms)
{
	must(name.len <= KEY_SOURCE_NAME_MAX);
	struct key_source *s = shared_take(shared, &key_source_kind, name, terms);
	if (s)
		__atomic_fetch_add(&s->users, 1, __ATOMIC_RELAXED);
	return s;
}

void key_source_give(struct shared *shared, struct key_source *s)
{
	__atomic_fetch_sub(&s->users, 1, __ATOMIC_RELAXED);
	shared_give(shared, s);
}

struct key_set *key_source_set(struct key_source *s, uint64_t *serial)
{
	pthread_mutex_lock(&s->lock);
	struct key_set *set = s->set;
	if (set)
		__atomic_fetch_add(&set->refs, 1, __ATOMIC_RELAXED);
	*serial = s->serial;
	pthread_mutex_unlock(&s->lock);
	return set;
}

bool key_source_want(struct key_source *s, uint64_t now_us)
{
	bool wanted = __atomic_load_n(&s->wanted, __ATOMIC_ACQUIRE);
	if (wanted)
		return true;
	if (now_us < __atomic_load_n(&s->not_before_us, __ATOMIC_ACQUIRE))
		return false;
	pthread_mutex_lock(&s->lock);
	void (*wake)(void *) = s->wake;
	if (wake) {
		__atomic_store_n(&s->wanted, true, __ATOMIC_RELEASE);
		wake(s->waker);
	}
	pthread_mutex_unlock(&s->lock);
	return wake != NULL;
}

/* ── whoever fetches ── */

void key_source_wake_by(struct key_source *s, void (*wake)(void *), void *waker)
{
	pthread_mutex_lock(&s->lock);
	s->wake = wake;
	s->waker = waker;
	pthread_mutex_unlock(&s->lock);
}

void key_source_publish(struct key_source *s, struct key_set *set, uint64_t now_us)
{
	pthread_mutex_lock(&s->lock);
	struct key_set *before = s->set;
	s->set = set;
	__atomic_store_n(&s->serial, s->serial + 1, __ATOMIC_RELEASE);
	s->state.fetched++;
	s->state.fetched_us = now_us;
	s->state.error[0] = '\0';
	pthread_mutex_unlock(&s->lock);
	key_set_unref(before);
}

void key_source_keep(struct key_source *s, const char *error, uint64_t now_us)
{
	struct text t;
	pthread_mutex_lock(&s->lock);
	if (error) {
		s->state.failed++;
	} else {
		s->state.unchanged++;
		s->state.fetched_us = now_us;
	}
	text_over(&t, s->state.error, sizeof(s->state.error) - 1);
	text_add(&t, span_of(error));
	s->state.error[t.len] = '\0';
	pthread_mutex_unlock(&s->lock);
}

void key_source_seen(struct key_source *s, uint64_t now_us)
{
	pthread_mutex_lock(&s->lock);
	s->state.fetched_us = now_us;
	pthread_mutex_unlock(&s->lock);
}

void key_source_ended(struct key_source *s, uint64_t not_before_us)
{
	__atomic_store_n(&s->not_before_us, not_before_us, __ATOMIC_RELEASE);
	__atomic_store_n(&s->wanted, false, __ATOMIC_RELEASE);
	__atomic_fetch_add(&s->attempts, 1, __ATOMIC_ACQ_REL);
}
