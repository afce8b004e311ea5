/* bucket.h - one key's allowance. Pure arithmetic, integers only; the caller passes the time and brings the lock.
 *
 *   gcra             one number, the theoretical arrival time: ITU-T I.371's generic cell rate algorithm. Up to `burst` at once, then evenly.
 *   sliding_window   two counters: what of the window before still counts (prev × (1 − f)) and this one's. At most `count` in any window, nearly.
 */
#ifndef SRC_POLICY_BUCKET_H
#define SRC_POLICY_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

enum algorithm_of_bucket { BUCKET_GCRA, BUCKET_SLIDING_WINDOW };
struct bucket_conf { enum algorithm_of_bucket algorithm; uint64_t count, per_us, burst; };
struct bucket { uint64_t a, b; };         /* zeroed: full. gcra: a = arrival time in ns; sliding: a = window's number, b = prev << 32 | cur */

struct bucket_answer {
	bool     allowed;
	uint64_t remaining;                   /* so many more would pass now (behind this one, if it is charged) */
	uint64_t wait_us;                     /* when refused: until one would pass */
	uint64_t reset_us;                    /* until it is full again */
};

/* Would one pass? Nothing is charged. */
struct bucket_answer bucket_look(const struct bucket *, const struct bucket_conf *, uint64_t now_us);
/* One passes; it was looked at with the same time. */
void bucket_charge(struct bucket *, const struct bucket_conf *, uint64_t now_us);
/* One that was charged did not pass after all. */
void bucket_refund(struct bucket *, const struct bucket_conf *);
/* Full: forgetting it gives nobody anything. */
bool bucket_is_idle(const struct bucket *, const struct bucket_conf *, uint64_t now_us);

#endif
