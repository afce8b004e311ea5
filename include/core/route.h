/* route.h - host + path + method + headers to a route; and what a worker has built for each route.
 *
 * A router is a worker's own: immutable after router_new, counted, replaced whole on reload. Each exchange keeps the router it
 * began with. Most specific path wins ("=/exact", then "~regex", then the longest prefix of whole segments), then the
 * order written; a route with a host wins over one without; an exact host wins over a wildcard.
 */
#ifndef CORE_ROUTE_H
#define CORE_ROUTE_H

#include "conf/conf.h"
#include "core/policy.h"
#include "core/stats.h"
#include "core/target.h"
#include "core/upstream.h"
#include "http/message.h"

struct route {
	const struct conf_route *conf;        /* NULL: the route of requests that match none ("none") */
	struct span        name;
	unsigned           index;             /* conf index; conf->route_count for "none" */
	struct router     *router;
	struct upstream   *upstream;          /* NULL: `respond` */
	const struct upstream_ops *ops; void *ops_self;
	struct policy    **chain;             /* outermost first */
	size_t            *slot_at;           /* [depth]: offset of each door's slot in the exchange's slot memory */
	size_t             slot_bytes;
	unsigned           depth;
	bool               tapped;            /* a door watches reply bytes */
	unsigned           attempt_from;      /* doors from here inward belong to one try (inside retry); = depth when none */
	struct fields      request_set, reply_set;
	struct route_stats *stats;            /* of this worker */
	uint64_t          *retries;           /* [RETRY_RESULT_COUNT]: of this way, as `stats` is of all */
	/* A route with several upstreams is one complete route per upstream: this one is the first of its ways, these are the others. The first
	 * `fork` doors, up to the one that chooses, are the same objects in all of them; further in each has its own. */
	struct route      *others; unsigned other_count;
	unsigned           fork;              /* = depth when there is one way */
	struct route_stats *own_stats;        /* of another way, or of a route aside */
	struct route      *next_aside;        /* routes aside (policy_route_aside) hang on the router */
};

struct router {
	unsigned        refs;                 /* of this worker only: not atomic */
	struct worker  *worker;
	struct conf    *conf;
	struct span     instance;             /* who we are in Via; of the process */
	bool            origin;               /* requests end here: a Via of ours on them is no loop */
	struct arena    arena;
	struct upstream **upstreams;          /* [conf->upstream_count], counted */
	struct upstream_stats **upstream_stats;       /* [conf->upstream_count], of this worker */
	struct store   *stores; unsigned store_count;
	struct stats_book *own_book;          /* of a router that was given none */
	struct route   *routes;               /* [conf->route_count] */
	struct route    none;
	struct route   *asides;
	struct route_index *index;            /* private to route.c */
};

/* Who serves an upstream on this worker: edge/back_h1 in outrigger, a script in the rig. */
struct upstream_server { const struct upstream_ops *ops; void *self; };

struct router_parts {
	struct conf            *conf;         /* a reference is taken                                    */
	struct worker          *worker;
	struct upstream       **upstreams;    /* [i] belongs to conf->upstreams[i]; references are taken */
	struct shared          *shared;
	const struct policy_type *const *types; unsigned type_count;       /* outermost first: registry.h */
	struct span             instance;     /* INSTANCE_ID characters that outlive the router; empty: not told */
	bool                    origin;
	const struct store     *stores; unsigned store_count;              /* of this worker; they are held */
	struct stats_book      *book;         /* the worker's; NULL: the router makes one of its own          */
	struct upstream_server (*server_of)(void *self, struct upstream *); void *self;
};
/* Opens all policies. NULL: out of memory. */
struct router *router_new(const struct router_parts *);
struct router *router_ref(struct router *);
void router_unref(struct router *);

/* For conf_source.regex_ok: does "~regex" compile? `why` gets PCRE2's words. */
bool route_regex_ok(struct span pattern, struct text *why);
const char *router_pcre2_version(void);

enum route_verdict { ROUTE_FOUND, ROUTE_NOT_FOUND, ROUTE_METHOD };
/* request->route_path must be set. ROUTE_METHOD: *allow lists the methods of the routes that match otherwise (in `arena`). */
enum route_verdict router_match(const struct router *, const struct request *, struct arena *, const struct route **, struct span *allow);

#endif
