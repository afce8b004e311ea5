/* timer.c - the pairing heap.
 *
 * Always true of an armed timer: key_us <= due_us; its key is not before its parent's; prev is its left sibling, or its
 * parent when it is the first child, or NULL at a root. Nothing recurses: a heap of any shape needs no stack.
 *
 * There are two heaps. `again` holds the timers that have fired in the present run and were armed anew: they wait for
 * the next run, which is what keeps one run finite. A timer belongs there exactly when its `run` is the heap's.
 * `run` only ever grows, and a timer that goes into `root` has 0 in its own, so the two are never confused.
 */
#include "base/timer.h"

#include <stddef.h>

#include "base/must.h"

void timers_init(struct timers *ts)
{
	*ts = (struct timers){ .run = 1 };
}

static struct timer **heap_of(struct timers *ts, const struct timer *t)
{
	return t->run == ts->run ? &ts->again : &ts->root;
}

/* Two trees (or NULL) into one. */
static struct timer *meld(struct timer *a, struct timer *b)
{
	if (!a)
		return b;
	if (!b)
		return a;
	if (b->key_us < a->key_us) {
		struct timer *swap = a;
		a = b;
		b = swap;
	}
	b->next = a->child;
	b->prev = a;
	if (a->child)
		a->child->prev = b;
	a->child = b;
	return a;
}

/* A row of siblings into one tree: melded in pairs from left to right, then the pairs from right to left. */
static struct timer *meld_row(struct timer *row)
{
	struct timer *pairs = NULL, *all = NULL;          /* pairs: newest first, linked by next */

	while (row) {
		struct timer *a = row, *b = row->next;
		row = b ? b->next : NULL;
		a->next = a->prev = NULL;
		if (b)
			b->next = b->prev = NULL;
		a = meld(a, b);
		a->next = pairs;
		pairs = a;
	}
	while (pairs) {
		struct timer *pair = pairs;
		pairs = pair->next;
		pair->next = NULL;
		all = meld(all, pair);
	}
	return all;
}

/* Takes a timer that is not a root, with all below it, out of its row. */
static void cut(struct timer *t)
{
	must(t->prev);                                    /* else it is armed in some other heap */
	if (t->prev->child == t)
		t->prev->child = t->next;
	else
		t->prev->next = t->next;
	if (t->next)
		t->next->prev = t->prev;
	t->next = t->prev = NULL;
}

static void heap_add(struct timer **root, struct timer *t, uint64_t key_us)
{
	t->child = t->next = t->prev = NULL;
	t->key_us = key_us;
	*root = meld(*root, t);
}

static void heap_remove(struct timer **root, struct timer *t)
{
	struct timer *below = meld_row(t->child);

	if (*root == t) {
		*root = below;
		return;
	}
	cut(t);
	*root = meld(*root, below);
}

void timer_arm(struct timers *ts, struct timer *t, uint64_t due_us, void (*fire)(struct timer *))
{
	must(fire);
	if (!t->fire) {
		if (t->run != ts->run)
			t->run = 0;
		ts->armed++;
		heap_add(heap_of(ts, t), t, due_us);
	} else if (due_us < t->key_us) {
		struct timer **root = heap_of(ts, t);
		t->key_us = due_us;
		if (*root != t) {
			cut(t);
			*root = meld(*root, t);
		}
	}
	t->due_us = due_us;
	t->fire = fire;
}

void timer_disarm(struct timers *ts, struct timer *t)
{
	if (!t->fire)
		return;
	heap_remove(heap_of(ts, t), t);
	t->fire = NULL;
	ts->armed--;
}

uint64_t timers_next(const struct timers *ts)
{
	uint64_t next_us = ts->root ? ts->root->key_us : TIMER_NEVER;

	return ts->again && ts->again->key_us < next_us ? ts->again->key_us : next_us;
}

static void next_run(struct timers *ts)
{
	ts->root = meld(ts->root, ts->again);
	ts->again = NULL;
	ts->run++;
}

unsigned timers_run(struct timers *ts, uint64_t now_us)
{
	unsigned fired = 0;

	next_run(ts);
	while (ts->root && ts->root->key_us <= now_us) {
		struct timer *t = ts->root;
		ts->root = meld_row(t->child);
		if (t->due_us > t->key_us) {                  /* was moved later: to its right place, then look again */
			heap_add(&ts->root, t, t->due_us);
			continue;
		}
		void (*fire)(struct timer *) = t->fire;
		t->fire = NULL;
		t->run = ts->run;
		ts->armed--;
		fired++;
		fire(t);
	}
	next_run(ts);
	return fired;
}
