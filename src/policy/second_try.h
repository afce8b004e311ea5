/* second_try.h - a hedge on its way: a request of ours beside a client's try that takes long, and what becomes of both.
 *
 *   RUNNING ──an acceptable head──▶ WON    the client's exchange is served by it from here on; its own try is called off
 *           └──────anything else──▶ LOST   it says nothing more; a first try that was waiting for it has the last word
 *
 * It belongs to the slot that began it until second_try_leave(), and to its child until that is over. Whoever comes last frees it.
 */
#ifndef SRC_POLICY_SECOND_TRY_H
#define SRC_POLICY_SECOND_TRY_H

#include "core/exchange.h"

enum second_state { SECOND_RUNNING, SECOND_WON, SECOND_LOST };
struct second_try;

/* `slot`: of the door that hedges; `told`: its child's head has decided (RUNNING is over), from outside any question of ex. NULL: out of memory. */
struct second_try *second_try_begin(struct exchange *, void *slot, void (*told)(void *slot));
enum second_state second_try_state(const struct second_try *);
/* Has its request been handed to an endpoint? (else it was turned away on its way, or still is on it) */
bool second_try_was_sent(const struct second_try *);
/* The client's own try is the one: it is called off, and noted as a try that did not make it. */
void second_try_call_off(struct second_try *);
/* From settle: the client's exchange has done with it. */
void second_try_leave(struct second_try *);

/* A reply that is worth having at once: not a failure, not a 5xx or 429. */
bool reply_is_acceptable(const struct exchange *);

#endif
