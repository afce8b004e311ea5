/* clock.c - a sorted list: worlds are small. */
#include "clock.h"

#include "base/must.h"

void clock_init(struct clock *c) { list_init(&c->planned); }

void event_cancel(struct event *e)
{
	if (!e->fire)
		return;
	link_remove(&e->link);
	e->fire = NULL;
}

void event_plan(struct clock *c, struct event *e, uint64_t due_us, void (*fire)(struct event *))
{
	struct link *after = c->planned.head.prev;
	event_cancel(e);
	e->due_us = due_us;
	e->fire = fire;
	while (after != &c->planned.head && container_of(after, struct event, link)->due_us > due_us)
		after = after->prev;
	link_between(&e->link, after, after->next);
}

uint64_t clock_next(const struct clock *c)
{
	struct link *first = list_first(&c->planned);
	return first ? container_of(first, struct event, link)->due_us : TIMER_NEVER;
}

void clock_fire(struct clock *c)
{
	struct link *first = list_first(&c->planned);
	must(first);
	struct event *e = container_of(first, struct event, link);
	void (*fire)(struct event *) = e->fire;
	event_cancel(e);
	fire(e);
}
