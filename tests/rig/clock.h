/* clock.h - virtual time: what the world outside will do, in the order it will do it. Nothing here sleeps or allocates. */
#ifndef RIG_CLOCK_H
#define RIG_CLOCK_H

#include "base/list.h"
#include "base/timer.h"

struct event {
	uint64_t    due_us;
	struct link link;
	void      (*fire)(struct event *);    /* NULL: not planned. Taken off before the call; may plan it again */
};
struct clock { struct list planned; };        /* earliest first; of the same time: in the order planned */

void     clock_init(struct clock *);
/* Zeroed memory is an event that is not planned. Planning again moves it. */
void     event_plan(struct clock *, struct event *, uint64_t due_us, void (*fire)(struct event *));
void     event_cancel(struct event *);        /* harmless when not planned */
static inline bool event_planned(const struct event *e) { return e->fire != NULL; }
uint64_t clock_next(const struct clock *);    /* TIMER_NEVER: nothing is planned */
void     clock_fire(struct clock *);          /* the first one; there must be one */

#endif
