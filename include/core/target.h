/* target.h - upstreams and their endpoints: what is known about each, for the whole process.
 *
 * Endpoints are shared by all workers, so what changes in them is atomic (counts, marks) or behind the upstream's lock
 * (addresses, the set itself). The set of endpoints of a DNS-discovered upstream changes while requests run: it is an immutable,
 * counted array that is replaced whole; a worker looks at `generation` and takes the new one when it has moved.
 *
 *     upstream ──▶ endpoint_set (counted) ──▶ endpoint (counted) ──▶ addresses (under upstream's lock)
 */
#ifndef CORE_TARGET_H
#define CORE_TARGET_H

#include <pthread.h>
#include <sys/socket.h>

#include "base/span.h"
#include "conf/conf.h"
#include "core/pressure.h"
#include "core/reason.h"

enum { ENDPOINT_ADDRESSES = 16 };         /* of one name; more are ignored */

struct address { struct sockaddr_storage at; socklen_t len; };

/* What /upstreams and the metrics call the state of an endpoint. */
#define ENDPOINT_STATES(X) X(healthy) X(unhealthy) X(ejected) X(draining)
enum endpoint_state {
#define X(word) ENDPOINT_##word,
	ENDPOINT_STATES(X)
#undef X
	ENDPOINT_STATE_COUNT
};
const char *endpoint_state_name(enum endpoint_state);

struct endpoint {
	unsigned  refs;                       /* atomic */
	struct upstream *upstream;
	struct span name;                     /* "10.0.8.4:8080", "unix:/run/app.sock": logs, metrics, Host when host_header: endpoint */
	struct span host;                     /* to resolve; empty for unix sockets and literal addresses */
	unsigned  port;
	uint64_t  weight;
	uint64_t  id;                         /* unique in the process: the key of connection pools */
	/* atomic, any thread */
	uint64_t  in_flight;                  /* requests running there now                              */
	uint64_t  connections;                /* open ones, in all pools                                 */
	uint64_t  served, errors;             /* totals                                                  */
	bool      unhealthy;                  /* by active checks                                        */
	uint64_t  ejected_until_us;           /* by passive results; 0 or past: not ejected              */
	uint64_t  consecutive_errors, ejections;
	uint64_t  latency_ns, latency_at_us;  /* balance: ewma; until it reads an answer, at 0 */
	/* under upstream->lock */
	struct address addresses[ENDPOINT_ADDRESSES];
	unsigned  address_count, address_next;
	enum reason no_address;               /* why there is none: dns_error or dns_timeout             */
	char      last_error[96];             /* of health checks, for people                            */
};

struct endpoint_set { unsigned refs; unsigned count; uint64_t weight_total; struct endpoint *at[]; };

struct upstream {
	unsigned  refs;                       /* atomic */
	const struct conf_upstream *conf;     /* of the snapshot that made it; keeps that snapshot alive */
	struct conf *snapshot;
	struct span name;
	unsigned  index;
	pthread_mutex_t lock;
	struct endpoint_set *set;             /* under lock; never NULL */
	uint64_t  generation;                 /* atomic; moves with set */
	struct pressure pressure;             /* of its line; fed by the control thread */
};

struct upstream *upstream_new(struct conf *, const struct conf_upstream *);    /* NULL: out of memory */
struct upstream *upstream_ref(struct upstream *);
void upstream_unref(struct upstream *);
struct endpoint_set *upstream_endpoints(struct upstream *);                    /* a counted reference */
void endpoint_set_unref(struct endpoint_set *);
/* Replaces the set (takes over the reference). */
void upstream_replace(struct upstream *, struct endpoint_set *);

struct endpoint *endpoint_new(struct upstream *, struct span host, unsigned port, uint64_t weight);   /* host "unix:/path" for sockets */
struct endpoint *endpoint_ref(struct endpoint *);
void endpoint_unref(struct endpoint *);
struct endpoint_set *endpoint_set_new(struct endpoint **, unsigned count);      /* takes over the references */

/* "http://host:port", "http://[v6]:port/path", "unix:/path" (port 0, host as written). false: the port is no port. */
bool endpoint_split(struct span url, struct span *host, unsigned *port);

/* Addresses of a name, replaced whole by the resolver (control thread). count 0: `why`. */
void endpoint_resolved(struct endpoint *, const struct address *, unsigned count, enum reason why);
/* The next one in turn. false: there is none, *why says so. */
bool endpoint_address(struct endpoint *, struct address *, enum reason *why);

unsigned endpoint_address_count(struct endpoint *);

static inline bool endpoint_is_ejected(const struct endpoint *e, uint64_t now_us)
{
	return __atomic_load_n(&e->ejected_until_us, __ATOMIC_RELAXED) > now_us;
}
static inline bool endpoint_is_unhealthy(const struct endpoint *e) { return __atomic_load_n(&e->unhealthy, __ATOMIC_RELAXED); }
enum endpoint_state endpoint_state(const struct endpoint *, uint64_t now_us);

#endif
