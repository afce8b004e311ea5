/* stats.c - counters that are not there from the start, and those that outlive a configuration. */
#include "core/stats.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/must.h"

/* Most routes know two or three methods: a table for all of them would be 40 KB a route. Published with release for the scrape. */
uint64_t *route_stats_statuses(struct route_stats *s, enum method m)
{
	if (!s->requests[m]) {
		uint64_t *fresh = calloc(STATUS_SLOTS, sizeof(*fresh));
		__atomic_store_n(&s->requests[m], fresh, __ATOMIC_RELEASE);
	}
	return s->requests[m];
}

void route_stats_duration(struct route_stats *s, unsigned class, uint64_t us, uint64_t wall_ms, const char trace_id[TRACE_ID], bool sampled)
{
	hist_add(&s->duration[class], us);
	if (!s->examples[class])
		__atomic_store_n(&s->examples[class], calloc(1, sizeof(*s->examples[class])), __ATOMIC_RELEASE);
	if (s->examples[class])
		exemplars_note(s->examples[class], us, wall_ms, trace_id, sampled);
}

void route_stats_fini(struct route_stats *s)
{
	for (unsigned class = 0; class < STATUS_CLASSES; class++)
		free(s->examples[class]);
	for (unsigned m = 0; m < METHOD_COUNT; m++)
		free(s->requests[m]);
}

/* ── the book ── */

struct stats_book { struct list routes, upstreams; };
struct page_of_book {
	struct link  link;
	unsigned     refs;
	bool         is_route;
	struct span  name;                    /* its own copy */
	_Alignas(max_align_t) unsigned char stats[];
};

struct stats_book *stats_book_new(void)
{
	struct stats_book *book = calloc(1, sizeof(*book));
	if (!book)
		return NULL;
	list_init(&book->routes);
	list_init(&book->upstreams);
	return book;
}

void stats_book_free(struct stats_book *book)
{
	must(!book || (list_empty(&book->routes) && list_empty(&book->upstreams)));
	free(book);
}

static void *take(struct list *pages, struct span name, size_t size, bool is_route)
{
	list_each(l, pages) {
		struct page_of_book *p = container_of(l, struct page_of_book, link);
		if (span_eq(p->name, name)) {
			p->refs++;
			return p->stats;
		}
	}
	struct page_of_book *p = calloc(1, sizeof(*p) + size);
	char *copy = malloc(name.len + 1);
	if (!p || !copy) {
		free(copy);
		free(p);
		return NULL;
	}
	memcpy(copy, name.at, name.len);
	p->name = (struct span){ copy, name.len };
	p->refs = 1;
	p->is_route = is_route;
	list_append(pages, &p->link);
	return p->stats;
}

struct route_stats *stats_take_route(struct stats_book *book, struct span name)
{
	return take(&book->routes, name, sizeof(struct route_stats), true);
}

struct upstream_stats *stats_take_upstream(struct stats_book *book, struct span name)
{
	return take(&book->upstreams, name, sizeof(struct upstream_stats), false);
}

void stats_give(void *stats)
{
	if (!stats)
		return;
	struct page_of_book *p = container_of(stats, struct page_of_book, stats);
	if (--p->refs)
		return;
	link_remove(&p->link);
	if (p->is_route)
		route_stats_fini(stats);
	free((char *)(uintptr_t)p->name.at);
	free(p);
}
