/* stats.h - what one worker counts per route and per upstream. One writer (the worker), any readers (a scrape on the control
 * thread): counters and histograms are relaxed atomics without lock prefix (hist.h). Nothing here is formatted on the data path.
 */
#ifndef CORE_STATS_H
#define CORE_STATS_H

#include "base/exemplar.h"
#include "base/hist.h"
#include "core/reason.h"
#include "http/message.h"

/* Each list is both the enum and the label values of a metric. */
#define RETRY_RESULTS(X) X(recovered) X(failed) X(no_budget) X(not_repeatable)
#define TIMEOUT_KINDS(X) X(connect) X(per_try) X(total) X(idle) X(queue)
enum retry_result {
#define X(word) RETRY_##word,
	RETRY_RESULTS(X)
#undef X
	RETRY_RESULT_COUNT
};
enum timeout_kind {
#define X(word) TIMEOUT_##word,
	TIMEOUT_KINDS(X)
#undef X
	TIMEOUT_KIND_COUNT
};

enum { STATUS_FIRST = 100, STATUS_LAST = 599, STATUS_SLOTS = STATUS_LAST - STATUS_FIRST + 1, STATUS_CLASSES = 6 };

struct route_stats {
	uint64_t    started;                                   /* in flight = started - sum of requests */
	uint64_t    over;
	uint64_t   *requests[METHOD_COUNT];                    /* [STATUS_SLOTS], made when the method is first seen; published with release */
	struct hist duration[STATUS_CLASSES];                  /* by class of the status: [2] is 2xx; [0] is what has no status */
	struct exemplars *examples[STATUS_CLASSES];            /* beside duration; made when the class is first seen; published with release */
	struct hist first_byte, overhead;
	uint64_t    request_bytes, reply_bytes;
	uint64_t    reasons[REASON_COUNT];
	uint64_t    would_refuse[REASON_COUNT];                /* dry_run */
	uint64_t    retries[RETRY_RESULT_COUNT];
	uint64_t    timeouts[TIMEOUT_KIND_COUNT];
	uint64_t    fallbacks;
	uint64_t    deadlines_malformed;
};

struct upstream_stats {
	uint64_t    replies[STATUS_SLOTS];                     /* heads that came in, by status */
	uint64_t    errors[REASON_COUNT];                      /* tries that failed, before or after their head */
	struct hist duration, connect;                         /* of tries, whole; of connects that succeeded */
	uint64_t    opened, reused;                            /* connections, and tries that found one open */
	uint64_t    ejections;
};

/* The counters by status of one method; made when the method is first seen. NULL: out of memory. */
uint64_t *route_stats_statuses(struct route_stats *, enum method);
/* Counts a request of that duration, with its trace for an example. class: of its status, 0 for none. */
void      route_stats_duration(struct route_stats *, unsigned class, uint64_t us, uint64_t wall_ms, const char trace_id[TRACE_ID], bool sampled);
void      route_stats_fini(struct route_stats *);

/* A worker's book of them, by name: so that a route, or upstream, of the next configuration goes on counting where this one's left off. What
 * nobody holds any more is forgotten. Not for several threads, but for the counters themselves. */
struct stats_book;
struct stats_book *stats_book_new(void);                           /* NULL: out of memory */
void stats_book_free(struct stats_book *);                         /* all must have been given back */
struct route_stats    *stats_take_route(struct stats_book *, struct span name);             /* NULL: out of memory */
struct upstream_stats *stats_take_upstream(struct stats_book *, struct span name);
void stats_give(void *stats);

#endif
