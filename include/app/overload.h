/* overload.h - measures, ten times a second and on the control thread, whether there is more than can be carried, and feeds it to the pressures
 * that requests look at (core/pressure.h).
 *
 *   of each worker    the lag of its loop; resident memory and descriptors of the process
 *   of each upstream  how long requests wait in its line
 *
 * A server that starts, drains or stops has no pressure: it is to finish what it has.
 */
#ifndef APP_OVERLOAD_H
#define APP_OVERLOAD_H

#include "base/json.h"
#include "base/text.h"
#include "base/timer.h"

struct server; struct upstream; struct prom;

struct overload {
	struct server *server;
	struct timer   timer;
	unsigned       ticks;
	/* what was measured last */
	uint64_t       memory, memory_limit;          /* limit 0: there is none */
	uint64_t       descriptors, descriptor_limit;
};

/* From now on. The timer is the control loop's, and goes with it. */
void overload_start(struct overload *, struct server *);

/* How it is seen. */
void overload_metrics(const struct server *, struct prom *out);
void overload_json(const struct server *, struct json *);          /* "pressure": {...}, in the object that is open */
double overload_queue_delay_us(const struct upstream *);           /* of the class that waits longest */
void overload_text(const struct server *, struct text *out);       /* a line of `outrigger status`, while there is pressure */

#endif
