/* upstream.h - who answers: an HTTP/1 connection, an HTTP/2 stream, the admin pages, a script. Implemented in edge/ and app/.
 *
 * The upstream is the innermost door; it always says LATER. It answers with exchange_upstream_head() or _failed(), once; after a
 * head come exchange_upstream_body() calls, the last with end = true, or _failed(). All of these only post.
 */
#ifndef CORE_UPSTREAM_H
#define CORE_UPSTREAM_H

#include "base/buf.h"

struct exchange;

struct upstream_ops {
	bool splices;                         /* body can take slices whose bytes are elsewhere (buf.h) */
	/* Begins the call that ex describes (ex->request, ex->endpoint, ex->attempt). Returns the call's handle. May report
	 * through exchange_upstream_*() before it returns; NULL when what it has reported is already the end or a failure. */
	void *(*start)(void *self, struct exchange *);
	/* Request body, borrowed; `end` comes once (also for requests without a body: with no bytes, right after start). Bytes are
	 * paid back with exchange_request_taken() when they are written or thrown away. In a tunnel (a 101 went by) the call ends when
	 * both directions have ended: after the second `end` neither side uses the other's pointer again. */
	void (*body)(void *call, struct slice, bool end);
	/* n more bytes of reply body are welcome (credit, which is above zero now). */
	void (*want)(void *call, size_t n);
	/* Synchronous and final: nothing is reported for this call any more. Not called after the call has ended by itself (the
	 * end of its reply, or a failure). */
	void (*cancel)(void *call);
};

#endif
