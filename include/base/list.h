/* list.h - intrusive, circular, doubly linked. A link that is on no list points at itself. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct link { struct link *next, *prev; };
struct list { struct link head; };

/* The struct of which `ptr` is the member. */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

static inline void link_init(struct link *l) { l->next = l->prev = l; }
static inline bool link_on_list(const struct link *l) { return l->next != l; }
static inline void list_init(struct list *l) { link_init(&l->head); }
static inline bool list_empty(const struct list *l) { return l->head.next == &l->head; }

static inline void link_between(struct link *l, struct link *prev, struct link *next)
{
	l->prev = prev; l->next = next; prev->next = l; next->prev = l;
}
static inline void list_append(struct list *list, struct link *l) { link_between(l, list->head.prev, &list->head); }
static inline void list_push(struct list *list, struct link *l) { link_between(l, &list->head, list->head.next); }
static inline void link_remove(struct link *l)                  /* harmless when on no list */
{
	l->prev->next = l->next; l->next->prev = l->prev; link_init(l);
}
static inline struct link *list_first(const struct list *l) { return list_empty(l) ? NULL : l->head.next; }
static inline struct link *list_last(const struct list *l) { return list_empty(l) ? NULL : l->head.prev; }
static inline struct link *list_shift(struct list *l)           /* takes the first off, or NULL */
{
	struct link *first = list_first(l);
	if (first)
		link_remove(first);
	return first;
}
/* Moves all of `from` to the end of `to`. */
static inline void list_join(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->head.next->prev = to->head.prev;
	to->head.prev->next = from->head.next;
	from->head.prev->next = &to->head;
	to->head.prev = from->head.prev;
	list_init(from);
}

/* The body may remove `it` from the list. */
#define list_each(it, list) \
	for (struct link *it = (list)->head.next, *it##_next = it->next; it != &(list)->head; it = it##_next, it##_next = it->next)

#endif
