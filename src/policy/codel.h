/* codel.h - controlled delay (Nichols, Jacobson; RFC 8289) for a line of requests: when even the oldest has waited longer than the target for
 * a whole interval, the line stands, and some are shed, the faster the longer it stands. Pure arithmetic.
 */
#ifndef SRC_POLICY_CODEL_H
#define SRC_POLICY_CODEL_H

#include <stdbool.h>
#include <stdint.h>

enum { CODEL_TARGET_US = 5000, CODEL_INTERVAL_US = 100000 };

struct codel { uint64_t above_since_us, next_drop_us; unsigned drops; bool dropping; };

/* Asked whenever somebody is let out of the line: `waited_us` of its oldest (0: it is empty). true: shed that one, and ask again. */
bool codel_drops(struct codel *, uint64_t now_us, uint64_t waited_us);

#endif
