/* attic.h - memory for tables that a successor finds again by name: those of rate limits, in which each key's charge is written as it changes.
 *
 * Reserved by the supervisor, so that it outlives a server; pages that nobody has touched cost nothing. A table must bear that its writer died in the
 * middle of a line: numbers without pointers. Blocks are taken and given back under the lock of core/shared.h's table, or when nothing else runs.
 */
#ifndef APP_ATTIC_H
#define APP_ATTIC_H

#include "core/shared.h"

struct attic;
struct attic *attic_new(size_t size);     /* NULL: not to be had */
void attic_free(struct attic *);
void attic_next(struct attic *);          /* a server died: what it held is there to be found */
void attic_sweep(struct attic *);         /* what its successor has not taken up by now is thrown away */
extern const struct lasting_ops attic_ops;         /* `self`: the attic */

#endif
