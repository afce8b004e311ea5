/* exchange.h - one request and its reply, walking a row of policies.
 *
 * The story of a plain request. front_h1 has read a whole head: exchange_new(), fills ex->request, exchange_start(). The core finds
 * the route, lays out the policies' slots and posts. At the end of the loop turn exchanges_run() walks it: each door's admit says
 * PASS; behind the last one upstream_ops.start() sends the request. Much later the head of the reply comes in: back_h1 fills
 * ex->reply, exchange_upstream_head() posts. exchanges_run() walks outward: each judge says PASS, the head is committed with
 * client_ops.send_head(), and body bytes go out as they come in. The last one is out: exchange_client_done(); every door is
 * settled with END_SENT, client_ops.done() is the last word, and the exchange is buried at the end of the turn.
 *
 * The story of an unlucky one. The bulkhead is full: LATER; the exchange stands in its line. Somebody leaves, the bulkhead answers
 * PASS: that only posts. The endpoint picked refuses the connection: exchange_upstream_failed(connection_refused). Walking
 * outward, the retry door says LATER (back-off), then AGAIN: the doors inside it are settled with END_RETRIED and asked afresh;
 * another endpoint gets the same head and the same kept body bytes. Before it answers the client hangs up: exchange_client_gone()
 * cancels the call, settles every door with END_GONE exactly once, done(), graveyard. No permit, timer or call is left.
 *
 * Three small machines: where the cursor is (walk_state), and one pipe_state for each body. Before the head is committed
 * everything can be taken back (retry, fallback, 504); after that only the body can end or break.
 *
 * After a call into the core do not touch the exchange again in that function, except where a comment below allows it.
 */
#ifndef CORE_EXCHANGE_H
#define CORE_EXCHANGE_H

#include "core/client.h"
#include "core/flags.h"
#include "core/policy.h"
#include "core/route.h"
#include "core/timing.h"
#include "http/forward.h"
#include "http/message.h"

#define WALK_STATES(X) X(NEW) X(ASKING) X(OWED) X(STREAMING) X(OVER)
enum walk_state {
#define X(word) WALK_##word,
	WALK_STATES(X)
#undef X
};
const char *walk_state_name(enum walk_state);

enum pipe_state { PIPE_IDLE, PIPE_FLOWING, PIPE_ENDED, PIPE_BROKEN };

enum {
	PIPE_WINDOW = 64 * 1024,              /* how far a sender may be ahead of its receiver, per direction, at first ...      */
	PIPE_WINDOW_MAX = 512 * 1024,         /* ... and once the receiver has shown that it keeps up                            */
	EXCHANGE_ARENA_MAX = 256 * 1024,
	ATTEMPTS_MAX = 16,                    /* tries of one exchange, whatever a policy thinks */
};

/* One direction of body bytes, with credit. Credit may go below zero by one read. */
struct pipe {
	enum pipe_state state;
	size_t    window;
	ptrdiff_t credit;                     /* bytes that may still be sent ahead      */
	size_t    owed;                       /* taken by the receiver, not granted yet  */
	uint64_t  total;                      /* bytes that came in                      */
	bool      draining;                   /* reply: what is held goes out now, one by one     */
	struct buf held;                      /* request: kept for (re)sending; reply: waiting for the head's commit */
};

struct exchange {
	/* ── facts: policies and edges may read ── */
	struct worker      *worker;
	struct arena        arena;
	struct request      request;
	struct reply        reply;            /* status 0: none                          */
	struct fields       request_trailers, reply_trailers;
	const struct route *route;
	struct trace        trace;
	struct flag_set    *flags;            /* NULL: not asked yet; exchange_flags() takes it  */
	struct timing       timing;
	struct span         client_address;   /* textual, for logs and X-Forwarded-For   */
	bool                client_trusted;
	uint64_t            max_request_body;
	struct span         scheme; unsigned listener_port;
	enum reason         reason;           /* of the answer, when we made or changed it */
	enum reason         failure;          /* of the last try, when reply.status is 0 (and it was no refusal) */
	enum reason         cut_by;           /* valid in settle(END_CUT)                */
	enum reason         would_refuse;     /* the first refusal that a dry_run let pass */
	enum served_by      served_by;
	unsigned            attempt;          /* tries so far, those that others have made for it included */
	unsigned            calling;          /* the number of the last one of its own; 0: none yet        */
	int                 upstream_status;  /* of the last try's reply; 0: none came   */
	struct attempt      credited;         /* the last try of a call that ran for it: exchange_credit; us 0: it still ran */
	struct trace_link   link;             /* the call of another request that this one's answer came from */
	struct attempt     *tried; unsigned tried_count;      /* tries that did not make it, at most ATTEMPTS_MAX */
	uint64_t            last_byte_us;     /* body byte in either direction           */
	bool                local;            /* the reply in place is ours              */
	bool                tunnel;           /* a 101 was committed                     */
	bool                diverted;         /* a door serves this itself: exchange_divert                        */
	bool                spawned;          /* a policy's own request: exchange_spawn                            */
	bool                expendable;       /* ... that nobody needs (a hedge): who would have to make it wait, or is not well, turns it away,
	                                         and does not count it as refused */
	unsigned short      note;             /* the observer's: worker.on_begin and on_over                       */
	/* ── policies may write ── */
	const struct claims *claims;          /* of a verified token: see claims.h; NULL: there is none */
	uint64_t            deadline_us;      /* absolute; TIMER_NEVER: none             */
	uint64_t            try_deadline_us;  /* of this try                             */
	uint64_t            patience_us;      /* the configured timeout, whatever the client would wait; 0: none */
	struct endpoint    *endpoint;         /* where the next call goes; set by balance */
	unsigned char       priority;         /* 0 critical, 1 default, 2 sheddable */
	enum field_id       timeout_field;    /* in which the time left is told upstream; FIELD_OTHER: not at all */
	bool                request_tapped;   /* a door inside has a request_tap, and wants to see this request's body */
	size_t              replay_bytes;     /* how much request body is kept for another try; set by retry */
	bool                reused_dead;      /* set by the back: failed on a reused connection before any reply byte, nothing else known */
	bool                request_reached;  /* set by the back: some byte of this try's request may have been seen by the endpoint */
	/* ── the walker's own: walk.c, body.c, exchange.c ── */
	const struct client_ops *client_ops; void *client;
	const struct upstream_ops *ops; void *ops_self;       /* who serves the call: the route's, or whom a door has diverted it to */
	void               *call;             /* of ops; NULL: none is running           */
	struct link         on_list;          /* live, and: ready or graveyard           */
	struct link         on_live;
	unsigned char      *slots;
	struct {
		enum walk_state state;
		int             at;           /* the door under the cursor               */
		int             way;          /* +1 inward, -1 outward                   */
		unsigned        from;         /* the outermost door that it walks: 0, but for the spawned */
		unsigned        let_in;       /* doors from..let_in-1 await settle       */
		enum answer     early;        /* answer posted, or given inside the question */
		uint64_t        owed_since_us;/* a door said LATER then; 0: none did */
		bool            replaced;     /* the door under the cursor has diverted in judge */
	} walk;
	struct pipe         request_body, reply_body;
	struct farewell    *farewell;         /* of a stream that a drain may end; NULL: of others                    */
	uint64_t            request_taken;    /* body bytes that the running call has taken */
	uint64_t            request_paid;     /* the most that any call has taken: what was paid back to the client */
	struct { void (*here)(struct exchange *, void *slot); void *slot; size_t bytes; } awaited;     /* exchange_await_body */
	bool                keeping;          /* request_body.held begins at byte 0      */
	bool                committed;
	bool                reply_written;    /* the client has it all                   */
	struct fields       extra, own;       /* of the reply: exchange_add_reply_field; of the request: exchange_set_request_field */
	struct {                              /* a local reply, made into bytes at commit */
		unsigned    retry_after_s;
		struct span detail, content_type, body, allow;
		bool        canned;           /* content_type and body were given, not made */
	} answer;
};

/* ── for fronts ── */
/* NULL: out of memory. The caller fills request (spans in ex->arena) and the client_* facts, then starts. */
struct exchange *exchange_new(struct worker *, struct router *, const struct client_ops *, void *client);
void exchange_start(struct exchange *);
/* A request that cannot even be understood: answers `why` (after exchange_new, instead of exchange_start). */
void exchange_start_refused(struct exchange *, enum reason why, int status, const char *detail);
/* Body bytes, borrowed. May be called right after start. `trailers` are in ex->request_trailers at the end. */
void exchange_request_body(struct exchange *, struct slice, bool end);
/* May the client send more? (credit > 0) */
static inline bool exchange_request_open(const struct exchange *ex) { return ex->request_body.credit > 0; }
void exchange_reply_taken(struct exchange *, size_t n);            /* n reply bytes were written to the client */
void exchange_client_done(struct exchange *);                      /* the whole reply is written            */
void exchange_client_gone(struct exchange *);                      /* before that: done() comes from inside */
/* The client broke its own request (too slow, bad chunk, too large): a refusal when nothing is committed, a cut otherwise. */
void exchange_client_fault(struct exchange *, enum reason why, const char *detail);

/* ── for upstreams ── */
void exchange_upstream_informational(struct exchange *, const struct reply *);
void exchange_upstream_head(struct exchange *);                    /* ex->reply is filled in                */
void exchange_upstream_body(struct exchange *, struct slice, bool end);
void exchange_upstream_failed(struct exchange *, enum reason why); /* before or after the head             */
void exchange_request_taken(struct exchange *, size_t n);          /* n request bytes were written, or thrown away */
static inline bool exchange_reply_open(const struct exchange *ex) { return ex->reply_body.credit > 0; }
/* Is request body still to come, or kept and unsent? (tells a reply that is early) */
static inline bool exchange_request_ended(const struct exchange *ex) { return ex->request_body.state == PIPE_ENDED; }
/* May body bytes be passed without being seen? Not while a policy taps them, a retry keeps them, or nobody takes them yet. */
bool exchange_may_splice_reply(const struct exchange *);
bool exchange_may_splice_request(const struct exchange *);
/* The request as this try's endpoint gets it: rewritten target, forwarding fields, time left (forward.h). false: out of memory. */
bool exchange_outbound(struct exchange *, struct request *out) __attribute__((warn_unused_result));

/* ── for policies ── */
/* Could the request be sent again: its body is still kept from byte 0, and no tunnel. */
bool exchange_can_replay(const struct exchange *);
void *exchange_slot(const struct exchange *, unsigned door);
/* The try that is not among those that did not make it, if there is one (number 0: there is none). Spans: those of the exchange. */
struct attempt exchange_last_try(const struct exchange *);
/* Notes the running try as one that did not make it (retry calls this before AGAIN). */
void exchange_note_attempt(struct exchange *, enum reason);
/* The same of the running try of another one that works for this one, or that this one works for: it counts on from there. */
void exchange_note_attempt_of(struct exchange *, const struct exchange *of, enum reason);

#include "core/spawn.h"              /* requests of a policy's own */

/* ── for the loop ── */
/* The only walker: serves the answers present at entry, then buries the dead. Returns whether more are ready already. */
bool exchanges_run(struct worker *);
/* The worker drains, for good: streams without an end of their own are ended where they may be, each at its own moment of `spread_us`, or then at
 * its next event or frame. */
void exchanges_farewell(struct worker *, uint64_t spread_us);
void exchanges_leave(struct worker *);     /* the worker ends, its clients are gone: so are the requests that policies have of their own */

#endif
