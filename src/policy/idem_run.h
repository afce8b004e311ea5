/* idem_run.h - the one request that runs for a key: a spawned one, so that it goes on when its client leaves, and its answer is kept.
 *
 *   client's exchange ──diverted──▶ run ──▶ child ──▶ doors further in, upstream
 *                     ◀──reading── capture ◀──
 *
 * Its client reads the answer as it comes. When it has left, the child runs on: until its answer is complete, or the time that the route gives
 * a request is over. It is given up only when the request's body will not become whole, which no service takes for a request.
 * Belongs to one worker. Freed when both the client's exchange and the child are over.
 */
#ifndef SRC_POLICY_IDEM_RUN_H
#define SRC_POLICY_IDEM_RUN_H

#include "capture.h"

enum idem_outcome {
	IDEM_KEEP,                            /* `capture` is whole, and worth keeping                          */
	IDEM_RELEASE,                         /* it failed, or ran out of time: the next one may run            */
	IDEM_GONE,                            /* the service has done it, but there is no whole answer to keep  */
};

struct idem_run {
	struct worker   *worker;
	struct exchange *parent, *child;      /* NULL: it is over */
	void            *slot;                /* of the parent: whose door spawns the child */
	struct capture  *capture;
	struct reading   reading;             /* the parent's */
	struct timer     end;                 /* of what runs on without a client; or cancels, where that is not possible at once */
	uint64_t         max_answer, until_us;
	size_t           owed_request, owed_reply;
	unsigned         busy;                /* inside a report of the child or the parent: neither is cancelled, nothing is freed */
	enum reason      refusal;             /* the child was refused: the parent's judge says so */
	unsigned         retry_after_s;
	struct span      detail;              /* in the parent's arena */
	bool             request_whole, done_by_service, unkept, told, settled, held, timed_out;
	/* The outcome, once. false: the child, if it is not over yet, is held until idem_run_let_go. */
	bool           (*over)(struct idem_run *, enum idem_outcome);
	void           (*free)(struct idem_run *);
};

/* The caller has set slot, max_answer, over and free on zeroed memory. */
void idem_run_begin(struct idem_run *, struct exchange *parent);          /* diverts it */
/* In the parent's judge: what was refused to the child is refused to it. */
void idem_run_judge(struct idem_run *);
/* In the parent's settle. The run may be gone afterwards. */
void idem_run_leave(struct idem_run *, enum ending);
void idem_run_let_go(struct idem_run *);

#endif
