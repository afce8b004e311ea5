/* text.h - the one bounded text buffer: append with a check, never beyond the limit given at birth.
 *
 * Two shapes: over memory of the caller (fixed), or growing by realloc up to `max`. When something did not fit,
 * `cut` is set, what is there stays well-formed text, and every later append is ignored.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/span.h"

struct text { char *at; size_t len, size, max; bool owned, cut; };

void text_over(struct text *, char *memory, size_t size);          /* fixed; text_fini not needed */
void text_init(struct text *, size_t max);                         /* grows */
void text_fini(struct text *);
void text_add(struct text *, struct span);
void text_char(struct text *, char);
void text_u64(struct text *, uint64_t);
/* Room for n bytes in one run at the end, to write into directly; text_grew says how many were. NULL: no room, and it is cut. */
char *text_room(struct text *, size_t n);
static inline void text_grew(struct text *t, size_t n) { t->len += n; }
void text_f(struct text *, const char *format, ...) __attribute__((format(printf, 2, 3)));    /* not for the data path */
static inline struct span text_span(const struct text *t) { return (struct span){ t->at, t->len }; }

#endif
