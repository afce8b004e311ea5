/* capture.h - a reply that several read: its head, and its body as far as it has come. Counted; what is in it never changes, it only grows (by
 * the one who fetches it) until it has ended. Then any thread may read it.
 */
#ifndef SRC_POLICY_CAPTURE_H
#define SRC_POLICY_CAPTURE_H

#include "core/exchange.h"

struct capture {
	unsigned      refs;                   /* atomic */
	struct arena  arena;
	struct reply  reply;
	struct fields trailers;
	char         *body;
	size_t        size, len;              /* of the memory; of what is in it          */
	size_t        base;                   /* bytes that have been dropped in front    */
	bool          ended;
	struct trace_link call;               /* the try that it is the answer of */
};

struct capture *capture_new(const struct reply *);        /* NULL: out of memory; refs is 1 */
struct capture *capture_ref(struct capture *);
void capture_unref(struct capture *);
bool capture_add(struct capture *, struct span) __attribute__((warn_unused_result));
void capture_drop(struct capture *, size_t before);       /* everything in front of this offset of the body */
static inline size_t capture_total(const struct capture *c) { return c->base + c->len; }

/* One who reads it: the other side of an exchange_divert. */
struct reading { struct exchange *ex; struct capture *capture; size_t sent; bool feeding, over; };
/* As upstream_ops.start. Answers 304 when the client has it already (RFC 9110 §13.1.2). false: it is over already, in one way or the other. */
bool reading_start(struct reading *, struct exchange *, struct capture *);
/* Passes on what there is credit for. Afterwards the exchange may be gone, and with it the reading; false: it is over. */
bool reading_feed(struct reading *);

#endif
