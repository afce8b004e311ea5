/* pressure.h - how far outrigger is beyond what it can carry, as one number that a request may look at (behaviour §9).
 *
 * There is one of each worker (the lag of its loop; memory and descriptors of the process) and one of each upstream (the delay in its line).
 * Whoever measures feeds it ten times a second (app/overload.c), never a request: a request loads `level`, and that is all.
 *
 *   ratio   value ÷ limit: 1 is the limit, whatever is measured.
 *   depth   how far beyond the limit, in classes of requests. Sheddable ones are turned away from 0 on, all of them at 1; default ones
 *           from 1 to 2, critical ones from 2 to 3. Of a delay each class takes five times as long as the one before it (20 ms, 100 ms,
 *           500 ms, 2.5 s), of a share of something finite a third of what is left (90 %, 93 %, 97 %, 100 %).
 *
 * It rises at once and falls slowly, and ends well below the limit, not at it: what was turned away does not come back all at once.
 */
#ifndef CORE_PRESSURE_H
#define CORE_PRESSURE_H

#include <stdbool.h>
#include <stdint.h>

struct exchange;

#define PRESSURE_CAUSES(X) X(queue_delay) X(loop_lag) X(memory) X(descriptors)
enum pressure_cause {
#define X(word) PRESSURE_##word,
	PRESSURE_CAUSES(X)
#undef X
	PRESSURE_CAUSE_COUNT
};
const char *pressure_cause_name(enum pressure_cause);

enum { PRESSURE_CLASSES = 3, PRESSURE_CLASS = 1000, PRESSURE_FALL = 100 };      /* PRESSURE_FALL: by which it falls from one feed to the next */

struct pressure {
	unsigned level;                       /* atomic. 0: none; else 1 + depth * PRESSURE_CLASS */
	/* of who feeds it */
	enum pressure_cause cause;            /* of the worst part ...     */
	double   ratio;                       /* ... and how bad it is     */
	double   delay_us[PRESSURE_CLASSES];  /* smoothed; of a worker the first only is used */
	unsigned most;                        /* classes that were touched since it began */
};

/* One thing that was measured. A limit of 0: it does not count. */
struct pressure_part { enum pressure_cause cause; double ratio, depth; bool calm; };
struct pressure_part pressure_of_delay(enum pressure_cause, double us, uint64_t limit_us);
/* The wait of one class. It is a reason to turn away that class and those beneath it, never those above: they are served before it. */
struct pressure_part pressure_of_wait(unsigned class, double us, uint64_t limit_us);
struct pressure_part pressure_of_share(enum pressure_cause, double used, double limit);     /* both of 1 */

/* Evens out what is measured ten times a second. One measurement alone is not believed whole, whatever it says: a machine that slept for a minute is
 * not overloaded for a minute. */
double pressure_smooth(double *smoothed, double us, uint64_t limit_us);

/* ROSE: it begins, or touches a class that it had not touched since it began. OVER: it has ended. */
enum pressure_news { PRESSURE_SAME, PRESSURE_ROSE, PRESSURE_OVER };
enum pressure_news pressure_feed(struct pressure *, const struct pressure_part *, unsigned count);
void pressure_relieve(struct pressure *);          /* none, at once */

static inline unsigned pressure_level(const struct pressure *p) { return __atomic_load_n(&p->level, __ATOMIC_RELAXED); }
/* How many of a thousand requests of this class (exchange.priority) are to be turned away. */
unsigned pressure_share(unsigned level, unsigned class);
/* How many classes are touched: 0 none, 1 sheddable, 2 default too, 3 all. */
unsigned pressure_classes(unsigned level);

/* Of the worker it runs on, or the upstream it goes to, whichever is higher. Not 0: leave out what is not necessary (retries, hedges), and
 * prefer what is cheap (a stale answer). */
unsigned exchange_pressure(const struct exchange *);

#endif
