/* timing.h - facts about one exchange for logs, metrics and spans: what was tried, and when things happened. */
#ifndef CORE_TIMING_H
#define CORE_TIMING_H

#include "base/span.h"
#include "core/reason.h"

/* One try. status: of its reply; 0: there was none, and `reason` says why; without a reason it was called off: another one was faster. */
struct attempt {
	uint64_t endpoint_id;
	struct span endpoint;
	enum reason reason;
	int      status;
	uint64_t us;                          /* how long it took                                                */
	unsigned number;                      /* 1: the first                                                    */
	uint64_t at_us, connect_us, reply_us; /* when it began; how long it connected; its head came in; 0: none */
};

/* Times on the worker's clock, 0: did not happen. */
struct timing {
	uint64_t first_byte_us;               /* of the request                          */
	uint64_t start_us;                    /* its head was complete                   */
	uint64_t queue_us;                    /* spent waiting in doors on the way in (a duration)   */
	uint64_t pause_us;                    /* ... and on the way out: between tries               */
	uint64_t call_us;                     /* the last try was handed to the upstream */
	uint64_t call_end_us;                 /* ... and was over; 0: it is not          */
	uint64_t connect_us;                  /* duration of its connect; 0: reused      */
	uint64_t reply_us;                    /* the reply's head came in                */
	uint64_t commit_us;                   /* the head went out                       */
	uint64_t over_us;
	uint64_t upstream_us;                 /* with an upstream call pending, summed over tries (a duration) */
	uint64_t waited_us;                   /* how much of that was before the head went out                 */
	uint64_t lag_us;                      /* set by the back: from the beginning of the turn until the request was written, summed over tries */
};

#endif
