/* line.h - the bounded line in front of a concurrency limit: who is next? Pure: no clock, no lock, no exchange. */
#ifndef SRC_POLICY_LINE_H
#define SRC_POLICY_LINE_H

#include "base/list.h"
#include "codel.h"

enum discipline { LINE_FIFO, LINE_LIFO, LINE_ADAPTIVE_LIFO };
enum { LINE_CLASSES = 3, LINE_STANDING_US = 100000, LINE_FAIR_EVERY = 16 };

struct waiter { struct link link; uint64_t since_us; unsigned char class; };    /* class 0 goes first */

struct line {
	enum discipline discipline;
	struct list  classes[LINE_CLASSES];   /* oldest first */
	uint64_t     count, grants;
	uint64_t     busy_since_us;           /* not empty since then; 0: it is */
	struct codel codel;
};

void line_init(struct line *, enum discipline);
void line_join(struct line *, struct waiter *, uint64_t now_us);
void line_leave(struct line *, struct waiter *);
/* Takes the next one off; NULL: nobody waits. Strictly by class, but for one grant in 16, which goes to the oldest of all. Within a class the
 * oldest, or the newest, as the discipline says; adaptive_lifo: the oldest, until the line has not been empty for 100 ms. */
struct waiter *line_next(struct line *, uint64_t now_us);
/* How long the oldest of a class has waited; 0: none of them waits. */
uint64_t line_age_us(const struct line *, unsigned class, uint64_t now_us);
/* Takes one off that is to be shed (CoDel, adaptive_lifo only); NULL: none. Ask until NULL, before line_next. */
struct waiter *line_shed(struct line *, uint64_t now_us);

#endif
