/* forward.h - what a proxy must change on the way through (RFC 9110 §7.6), and what outrigger adds (interface §4).
 *
 * Request: hop-by-hop fields and those named by Connection are dropped (TE: trailers is kept; Upgrade is put back by
 * the writer for an allowed upgrade); Via is appended, with the id of this instance as its comment
 * ("1.1 outrigger (a1b2c3d4)"); X-Forwarded-For/-Proto/-Host/-Port are appended when the peer is
 * trusted, replaced when not; X-Request-ID is kept whenever it is well-formed,
 * else it becomes a new UUIDv7 (RFC 9562 §5.7); traceparent (W3C Trace Context level 2) is
 * continued with a new span id per attempt, or begun; X-Outrigger-Attempt on the second try and later; the time left is told in
 * the field the route names.
 */
#ifndef HTTP_FORWARD_H
#define HTTP_FORWARD_H

#include "base/rand.h"
#include "http/message.h"

/* The identity of one request; made once by the front, before anything can be refused. */
struct trace {
	char request_id[128]; unsigned request_id_len;
	char trace_id[32];                    /* lower-case hex, not terminated */
	char span_id[16];                     /* of our own span, also in the log; each try has its own: trace_try_id */
	bool sampled;
	bool continued;                       /* traceparent came in valid */
	char caller_id[16];                   /* the caller's span id, when continued */
};
void trace_begin(struct trace *, const struct request *, struct rand *, uint64_t wall_ms);
/* The span of try `number` (1 is the first), a child of ours: what the upstream gets in traceparent. Computed: it is the same whoever asks. */
void trace_try_id(const struct trace *, unsigned number, char out[16]);
/* A call of another trace. */
struct trace_link { bool set; char trace_id[32], span_id[16]; };

enum { INSTANCE_ID = 8, VIA_HOPS_MAX = 10 };

struct forward_facts {
	struct span  client_address;          /* textual, without port; empty for unix sockets */
	bool         client_trusted;
	struct span  scheme;                  /* "http" or "https": how the client came to us */
	unsigned     port;                    /* of our listener, for X-Forwarded-Port; 0: unknown */
	struct span  authority;               /* Host for the upstream */
	unsigned     attempt;                 /* 1 for the first */
	enum field_id timeout_field;          /* FIELD_OTHER: tell no deadline */
	uint64_t     timeout_ms;
	const struct trace *trace;
	struct span  instance;                /* whose Via this is: INSTANCE_ID characters; empty: not told */
	const struct fields *own;             /* of policies: before what the operator sets; may be NULL */
	const struct fields *set;             /* request_headers: set;  may be NULL */
	const struct span *remove; unsigned remove_count;
	struct span  target;                  /* the target to send: as received, or rewritten */
};
/* Fills *out (its fields and computed values in the arena) from *in, which is not changed. false: out of memory or too
 * many fields. */
bool forward_request(struct request *out, const struct request *in, const struct forward_facts *, struct arena *)
	__attribute__((warn_unused_result));

/* Via says that this request passed through this very instance before, or through more than VIA_HOPS_MAX outriggers. */
bool forward_is_loop(const struct request *, struct span instance);

/* Appends `more`, which may be zeroed. false: out of memory. */
bool forward_add(struct fields *, const struct fields *more, struct arena *) __attribute__((warn_unused_result));
/* In place: hop-by-hop fields out, X-Request-ID in, then remove, then set. */
bool forward_reply(struct reply *, const struct trace *, const struct fields *set, const struct span *remove,
	unsigned remove_count, struct arena *) __attribute__((warn_unused_result));

/* "1500m" of grpc-timeout (at most 8 digits and one of H M S m u n) and milliseconds of the two others, to microseconds.
 * false: malformed. */
bool forward_read_timeout(enum field_id, struct span value, uint64_t *us);

/* 36 characters. */
void uuid7_write(char *out, struct rand *, uint64_t wall_ms);

#endif
