/* spawn.h - calls that a policy serves itself, and requests of its own: flights, hedges, copies for a mirror. Part of exchange.h. */
#ifndef CORE_SPAWN_H
#define CORE_SPAWN_H

#include "core/client.h"
#include "core/upstream.h"

struct exchange;
struct route;

/* In admit, before PASS: these serve the call, and the doors further in are not asked. What they report (exchange_upstream_*) passes outward
 * from this door. No try is counted. In judge, before AGAIN: these serve another reply. */
void exchange_divert(struct exchange *, const struct upstream_ops *, void *self);
/* For the door that chooses: inward from here this way is gone. In admit, before PASS; in judge, before AGAIN: the try is thrown away. */
void exchange_take_way(struct exchange *, const struct route *way);
/* A request of a policy's own: like `model`, which may be over before it (all is copied), walking the doors from number `from` on of `route`.
 * Its client is the policy: a flight, a hedge, a copy for a mirror. The request's body is the policy's business, unless there is none. A
 * reply comes as the doors let it out, still with the fields that concern one connection, and a refusal without its body: see
 * exchange_refuse_like. NULL: out of memory. */
struct exchange *exchange_spawn(const struct exchange *model, const struct route *route, unsigned from, const struct client_ops *, void *client);
/* The running try has lost to a request of the policy's own, `winner`: the door that owns `slot` throws the try away (the doors further in:
 * END_RETRIED) and serves the call with these. From outside a question, before the head is committed. The try should be noted first. */
void exchange_take_over(struct exchange *, void *slot, const struct exchange *winner, const struct upstream_ops *, void *self);
unsigned exchange_door(const struct exchange *, const void *slot);         /* the number of the door that owns it */
/* The answer of `ex` is what was refused to `from`: reason, Retry-After and words. */
void exchange_refuse_like(struct exchange *, const struct exchange *from);
/* The facts about tries of a spawned request become those of the one that it ran for. */
void exchange_credit(struct exchange *, const struct exchange *from);

#endif
