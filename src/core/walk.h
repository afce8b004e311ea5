/* walk.h - the walker's private side: what body.c, local.c and exchange.c may ask of it. */
#ifndef SRC_CORE_WALK_H
#define SRC_CORE_WALK_H

#include "core/exchange.h"

/* Settles doors from the innermost let in down to `door`. */
void walk_settle_from(struct exchange *, unsigned door, enum ending);
void walk_drop_call(struct exchange *);
/* The end of everything: call dropped, doors settled, done() said, into the graveyard. */
void walk_finish(struct exchange *, enum ending);
/* exchange_cut by door number; -1: everything (the client's own fault). */
void walk_cut(struct exchange *, int door, enum reason);
/* What is further in than `door` is thrown away, and the walk goes inward from there, once more. */
void walk_again_from(struct exchange *, unsigned door);
void exchange_free(struct exchange *);
/* The running try is over: its duration, and its error if it had one. Once per try; not for one whose client left before a reply. */
void exchange_count_try(struct exchange *, enum reason);
void exchange_call_ended(struct exchange *);     /* ... in one way or another: the clock stops */

#endif
