/* line.c - see line.h. */
#include "line.h"

void line_init(struct line *l, enum discipline discipline)
{
	*l = (struct line){ .discipline = discipline };
	for (unsigned i = 0; i < LINE_CLASSES; i++)
		list_init(&l->classes[i]);
}

void line_join(struct line *l, struct waiter *w, uint64_t now_us)
{
	w->since_us = now_us;
	list_append(&l->classes[w->class], &w->link);
	if (l->count++ == 0)
		l->busy_since_us = now_us;
}

void line_leave(struct line *l, struct waiter *w)
{
	link_remove(&w->link);
	if (--l->count == 0)
		l->busy_since_us = l->codel.above_since_us = 0;
}

static struct waiter *waiter_of(struct link *l) { return l ? container_of(l, struct waiter, link) : NULL; }

static struct waiter *oldest(const struct line *l)
{
	struct waiter *found = NULL;
	for (unsigned i = 0; i < LINE_CLASSES; i++) {
		struct waiter *w = waiter_of(list_first(&l->classes[i]));
		if (w && (!found || w->since_us < found->since_us))
			found = w;
	}
	return found;
}

uint64_t line_age_us(const struct line *l, unsigned class, uint64_t now_us)
{
	const struct waiter *w = waiter_of(list_first(&l->classes[class]));
	return w && now_us > w->since_us ? now_us - w->since_us : 0;
}

static bool newest_first(const struct line *l, uint64_t now_us)
{
	return l->discipline == LINE_LIFO || (l->discipline == LINE_ADAPTIVE_LIFO && now_us - l->busy_since_us >= LINE_STANDING_US);
}

struct waiter *line_next(struct line *l, uint64_t now_us)
{
	struct waiter *w = NULL;
	if (!l->count)
		return NULL;
	if (++l->grants % LINE_FAIR_EVERY == 0)
		w = oldest(l);
	for (unsigned i = 0; i < LINE_CLASSES && !w; i++)
		w = waiter_of(newest_first(l, now_us) ? list_last(&l->classes[i]) : list_first(&l->classes[i]));
	line_leave(l, w);
	return w;
}

struct waiter *line_shed(struct line *l, uint64_t now_us)
{
	if (l->discipline != LINE_ADAPTIVE_LIFO)
		return NULL;
	struct waiter *w = oldest(l);
	if (!codel_drops(&l->codel, now_us, w ? now_us - w->since_us : 0))
		return NULL;
	/* of those that have waited too long the least important goes */
	for (unsigned i = LINE_CLASSES; i-- > 0; ) {
		struct waiter *least = waiter_of(list_first(&l->classes[i]));
		if (least && now_us - least->since_us >= CODEL_TARGET_US) {
			w = least;
			break;
		}
	}
	line_leave(l, w);
	return w;
}
