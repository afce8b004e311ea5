/* resolve.h - keeps the addresses and endpoints of upstreams as the DNS has them (c-ares, on the control thread's uv loop).
 *
 *   endpoints: with host names   A and AAAA of each → endpoint_resolved()
 *   dns: http://host:port        each address an endpoint of its own → upstream_replace()
 *   srv: _http._tcp.name         each target of the best priority an endpoint with port and weight, whose addresses are looked up
 *                                before the set is replaced: nobody is sent to an endpoint without an address
 *
 * Asked again when the answer's time to live is over (between 1 s and 5 min; what the hosts file says: every 30 s). When an
 * answer fails to come, what was known stays, and the question is repeated after 1 s, doubling to 30 s, with jitter.
 * Nothing here calls back before it returns.
 */
#ifndef EDGE_RESOLVE_H
#define EDGE_RESOLVE_H

#include <uv.h>

#include "core/target.h"

struct resolver;
struct resolver *resolver_new(uv_loop_t *);                        /* NULL: out of memory, or no resolver to be had */
/* Forgets all upstreams. Memory goes when the loop has closed the handles (uv_run once more). Not from `settled`. */
void resolver_free(struct resolver *);
/* Takes a reference. Harmless for an upstream without names. false: out of memory, some names are not looked after. */
bool resolver_add(struct resolver *, struct upstream *);
/* Gives it back; what was resolved stays as it is. */
void resolver_remove(struct resolver *, struct upstream *);
/* Calls `settled` once, when every name added so far has had its first answer or failure, or after 5 s. Asking anew (a reload)
 * replaces what was asked before; NULL: nobody wants to know any more. */
void resolver_on_settled(struct resolver *, void (*settled)(void *self), void *self);

const char *resolver_cares_version(void);

#endif
