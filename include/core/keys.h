/* keys.h - the keys that signatures of tokens are checked with: a source of them, and the set that holds now.
 *
 * Who has a use for keys takes their source; all takers of one name (a URL, or file:PATH) share it. Whoever gets keys (app/keyring, on the
 * control thread) looks for sources that have users, fetches, and publishes: an immutable, counted set. Who can check a signature
 * (edge/jose) implements a set. So the policy knows neither libcurl nor OpenSSL, and the test rig has keys of its own.
 */
#ifndef CORE_KEYS_H
#define CORE_KEYS_H

#include <pthread.h>

#include "conf/schema.h"
#include "core/shared.h"

/* RFC 7518 §3.1. There is no "none". */
#define JWS_ALGS(X) \
	X(RS256) X(RS384) X(RS512) X(PS256) X(PS384) X(PS512) X(ES256) X(ES384) X(ES512) X(HS256) X(HS384) X(HS512)
enum jws_alg {
#define X(word) JWS_##word,
	JWS_ALGS(X)
#undef X
	JWS_ALG_COUNT
};
const char *jws_alg_name(enum jws_alg);
bool jws_alg_of(struct span word, enum jws_alg *);         /* to the letter: never "none" */

enum key_verdict { KEY_FITS, KEY_FITS_NOT, KEY_UNKNOWN };     /* KEY_UNKNOWN: maybe a key that is not in the set yet */

struct key_set;
struct key_set_ops {
	/* Any thread. `token` is header.payload.signature, strict base64url each; `alg` and `kid` (empty: none) are from its header. */
	enum key_verdict (*verify)(const struct key_set *, enum jws_alg alg, struct span kid, struct span token);
	void (*free)(struct key_set *);       /* the last holder has let go; any thread */
};
struct key_set { const struct key_set_ops *ops; unsigned refs, count; };       /* first member of an implementation; count: of keys */
void key_set_unref(struct key_set *);     /* NULL is harmless */

enum { KEY_SOURCE_NAME_MAX = CONF_PLACE_MAX, KEY_ERROR_MAX = 160 };

/* How it is to be fetched: the newest taker's wish holds. */
struct key_terms { uint64_t refresh_us, timeout_us; };

/* For people; under the lock. */
struct key_state {
	uint64_t fetched, unchanged, failed;  /* fetches, by what came of them */
	uint64_t fetched_us;                  /* when keys were last got, or found unchanged; 0: never */
	char     error[KEY_ERROR_MAX];        /* of the last fetch; empty: it went well */
};

struct key_source {
	pthread_mutex_t  lock;
	struct key_set  *set;                 /* NULL: none yet */
	struct key_terms terms;
	struct key_state state;
	void           (*wake)(void *waker); void *waker;          /* of whoever fetches; NULL: nobody does */
	/* atomic */
	uint64_t         serial;              /* of the set; 0: none yet */
	uint64_t         attempts;            /* fetches that have ended, well or not */
	uint64_t         not_before_us;       /* no early fetch before this moment */
	unsigned         users;
	bool             wanted;              /* an early fetch was asked for, or runs */
};

extern const struct core_kind key_source_kind;     /* label: jwks */

/* ── for those that have a use for keys; any thread ── */
struct key_source *key_source_take(struct shared *, struct span name, const struct key_terms *);   /* NULL: out of memory */
void key_source_give(struct shared *, struct key_source *);
/* The set that holds now, counted, and its serial; NULL: none yet. */
struct key_set *key_source_set(struct key_source *, uint64_t *serial);
static inline uint64_t key_source_serial(const struct key_source *s) { return __atomic_load_n(&s->serial, __ATOMIC_ACQUIRE); }
static inline uint64_t key_source_attempts(const struct key_source *s) { return __atomic_load_n(&s->attempts, __ATOMIC_ACQUIRE); }
/* A token names a key that is not in the set: fetch it early. true: that is on its way, and attempts will count up. */
bool key_source_want(struct key_source *, uint64_t now_us);

/* ── for whoever fetches ── */
void key_source_wake_by(struct key_source *, void (*wake)(void *), void *waker);
void key_source_publish(struct key_source *, struct key_set *, uint64_t now_us);  /* takes over the reference */
/* A fetch has ended without a new set: NULL: what holds is what there is; else what went wrong. */
void key_source_keep(struct key_source *, const char *error, uint64_t now_us);
/* No fetch was needed to know that what holds is what there is. */
void key_source_seen(struct key_source *, uint64_t now_us);
/* A fetch has ended: early ones are welcome again from that moment on. */
void key_source_ended(struct key_source *, uint64_t not_before_us);

#endif
