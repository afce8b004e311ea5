/* window.h - results of the last so many seconds, in ten buckets. Pure arithmetic; the caller passes the time and brings the lock. */
#ifndef SRC_POLICY_WINDOW_H
#define SRC_POLICY_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

enum { WINDOW_BUCKETS = 10 };

struct window_sum { uint64_t calls, failures, slow; };
struct window { struct { uint64_t period; struct window_sum sum; } bucket[WINDOW_BUCKETS]; };      /* period: which tenth it holds; 0: unused */

/* `width_us`: of the whole window; must not change while there is something in it. */
void window_add(struct window *, uint64_t width_us, uint64_t now_us, bool failed, bool slow);
struct window_sum window_sum(const struct window *, uint64_t width_us, uint64_t now_us);

#endif
