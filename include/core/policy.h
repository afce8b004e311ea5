/* policy.h - what a policy is, and everything it may do to an exchange.
 *
 * A policy stands between client and upstream like a doorkeeper in a row of doorkeepers. It is asked:
 *
 *   admit   a request wants in.            PASS it on, TURN it away (after exchange_refuse), or LATER.
 *   judge   a reply or a failure wants out; nothing of it is sent yet. PASS it on, ask AGAIN, or LATER.
 *   settle  the exchange is over for you: give back what you took.
 *
 * 1. admit that ends in PASS, or still owes its LATER, is followed by exactly one settle. TURN keeps nothing and gets none.
 * 2. LATER is a debt of exactly one exchange_answer(). Leave the queue, disarm, cancel: before you answer.
 * 3. judge may look at ex->reply (status 0: the try failed, ex->failure says why). AGAIN settles all doors further in
 *    (END_RETRIED), drops the call and asks them afresh.
 * 4. tap only watches reply bytes on their way out, request_tap request bytes as they come in.
 * 5. settle cannot wait or answer. It is the only release code.
 * 6. Timers that lose patience use exchange_cut(): everything inside me fails with this reason.
 * 7. Policies talk through the exchange's public face and their own memory, never through each other's slots.
 *
 * Time is ex->worker->now_us. A policy object belongs to one worker; what must be exact for the process lives in a shared
 * core (policy_env.shared) behind a short lock or atomics, never held across a callback.
 */
#ifndef CORE_POLICY_H
#define CORE_POLICY_H

#include "conf/schema.h"
#include "core/reason.h"
#include "core/worker.h"

struct exchange;
struct policy;
struct upstream;
struct conf_route;
struct conf_upstream;
struct shared;
struct store;
struct slice;
struct route;
struct route_parts;

#define ANSWERS(X) X(LATER) X(PASS) X(TURN) X(AGAIN)
enum answer {
#define X(word) word,
	ANSWERS(X)
#undef X
};
const char *answer_name(enum answer);

#define ENDINGS(X) \
	X(SENT)      /* the reply is complete                         */ \
	X(FAILED)    /* the upstream failed, or its body broke off    */ \
	X(RETRIED)   /* this try was thrown away for another          */ \
	X(CUT)       /* someone outside lost patience: ex->cut_by     */ \
	X(GONE)      /* the client left                               */
enum ending {
#define X(word) END_##word,
	ENDINGS(X)
#undef X
};
const char *ending_name(enum ending);

/* What a policy gets when it is opened, once per worker and route. */
struct policy_env {
	struct worker           *worker;
	const struct conf_route *route;
	struct upstream         *upstream;    /* NULL: the route has none */
	struct shared           *shared;      /* process-wide cores: see shared.h */
	const struct store      *stores; unsigned store_count;        /* of this worker: see store.h; good as long as the policy */
	struct route_parts      *parts;       /* route.c's own */
};
/* In open: a route of the policy's own to another upstream, with the doors of one try only, for exchange_spawn(..., 0, ...). Nothing of it is
 * counted for the route that it belongs to. It lives as long as the router. NULL: out of memory. */
const struct route *policy_route_aside(const struct policy_env *, const struct conf_upstream *);

struct policy_type {
	const char *name;
	const struct conf_block *block;       /* its settings; NULL: none */
	/* Does a route with these settings need this door at all? NULL: always, but an `optional` block only when `present`. */
	bool      (*wanted)(const struct conf_route *, const void *settings, bool present);
	bool        per_try;                  /* stands inside the retry loop: settled as soon as the upstream's reply is complete */
	bool        chooses;                  /* which of the route's ways is gone (exchange_take_way): further in there are doors for each */
	size_t      slot_size;                /* per-exchange memory, zeroed before each admit */
	struct policy *(*open) (const void *settings, const struct policy_env *);      /* NULL: out of memory */
	void        (*close)(struct policy *);
	enum answer (*admit) (struct policy *, struct exchange *, void *slot);
	enum answer (*judge) (struct policy *, struct exchange *, void *slot);
	void        (*tap)   (struct policy *, struct exchange *, void *slot, struct span bytes);
	/* With ex->request_tapped set in admit: watches request bytes as they come in; those before that are in ex->request_body.held then. */
	void        (*request_tap)(struct policy *, struct exchange *, void *slot, const struct slice *bytes, bool end);
	void        (*settle)(struct policy *, struct exchange *, void *slot, enum ending);
};
struct policy { const struct policy_type *type; };                 /* first member of each policy's struct */

/* ---- the verbs; see exchange.h for the facts ---- */

/* Pays the debt of LATER. Only posts: nobody is walked inside this call. */
void exchange_answer(struct exchange *, enum answer);
/* Puts a refusal in place, before TURN; in judge it replaces the reply and drops the call. retry_after_s 0: none.
 * `detail` (may be NULL) is one plain sentence for the body; it is copied. */
void exchange_refuse(struct exchange *, enum reason, unsigned retry_after_s, const char *detail);
/* In admit, for a policy with a `dry_run`: refuses and says TURN; or only counts and logs that it would have (would_refuse), and says PASS. */
enum answer exchange_turn_away(struct exchange *, bool dry_run, enum reason, unsigned retry_after_s, const char *detail);
/* In admit, before LATER: `here` is called once, from an event, when the request's body is complete or its first `bytes` are here (at most
 * PIPE_WINDOW; they stand in request_body.held). true: they are already, and nobody is called. NULL for `here`: never mind. */
bool exchange_await_body(struct exchange *, size_t bytes, void (*here)(struct exchange *, void *slot), void *slot);
/* A field of the reply that the client will get, whoever makes it. Name in lower case; both must outlive the exchange. A few at most: what is
 * beyond them, or memory, is left out. */
void exchange_add_reply_field(struct exchange *, struct span name, struct span value);
/* In admit: a field that the upstream gets, whatever the client sent in it, or named in Connection. Without a value (.len 0) it gets none. Name
 * in lower case; both must outlive the exchange, or its policies. */
void exchange_set_request_field(struct exchange *, struct span name, struct span value);
/* The same for an answer that is not an error (fallback, respond). The spans must outlive the exchange. status 0: keep. */
void exchange_serve(struct exchange *, enum served_by, int status, struct span content_type, struct span body);
/* In judge, before a LATER that will end in AGAIN: this try is thrown away now. Its call is dropped and the doors further in are settled
 * (END_RETRIED), so that none of them holds anything during the pause. No other answer is possible after it. */
void exchange_drop_try(struct exchange *);
/* "Enough": fail everything inside the door that owns `slot`. Does nothing when the reply is already past that door and not
 * committed. After the head is committed it cuts the client's connection. Only from timers and events, never from inside a question. */
void exchange_cut(struct exchange *, void *slot, enum reason);

#endif
