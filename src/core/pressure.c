/* pressure.c - see pressure.h. Pure arithmetic. */
#include "core/pressure.h"

#include <math.h>

#include "core/exchange.h"

/* It ends when every part is this far below its limit. Memory comes back in small pieces, if at all; delays do not. */
static const double calm_delay = .8, calm_share = .95;
static const double delay_per_class = 5;
enum { SMOOTHING = 4 };

#define X(word) #word,
static const char *const cause_names[] = { PRESSURE_CAUSES(X) };
#undef X
const char *pressure_cause_name(enum pressure_cause c) { return cause_names[c]; }

struct pressure_part pressure_of_delay(enum pressure_cause cause, double us, uint64_t limit_us)
{
	double ratio = limit_us ? us / (double)limit_us : 0;
	return (struct pressure_part){ cause, ratio, ratio > 0 ? log(ratio) / log(delay_per_class) : -HUGE_VAL, ratio < calm_delay };
}

struct pressure_part pressure_of_wait(unsigned class, double us, uint64_t limit_us)
{
	struct pressure_part part = pressure_of_delay(PRESSURE_queue_delay, us, limit_us);
	if (part.depth > PRESSURE_CLASSES - class)
		part.depth = PRESSURE_CLASSES - class;
	return part;
}

struct pressure_part pressure_of_share(enum pressure_cause cause, double used, double limit)
{
	double ratio = limit > 0 ? used / limit : 0, room = 1 - limit;
	double depth = ratio < 1 ? ratio - 1 : room > 0 ? (used - limit) / room * PRESSURE_CLASSES : PRESSURE_CLASSES;
	return (struct pressure_part){ cause, ratio, depth, ratio < calm_share };
}

double pressure_smooth(double *smoothed, double us, uint64_t limit_us)
{
	double most = delay_per_class * ((double)limit_us + *smoothed);
	if (limit_us && us > most)
		us = most;
	return *smoothed += (us - *smoothed) / SMOOTHING;
}

unsigned pressure_classes(unsigned level)
{
	return level ? (level - 1 + PRESSURE_CLASS - 1) / PRESSURE_CLASS : 0;
}

static unsigned depth_of(double depth)
{
	if (depth >= PRESSURE_CLASSES)
		return PRESSURE_CLASSES * PRESSURE_CLASS;
	return depth > 0 ? (unsigned)(depth * PRESSURE_CLASS) : 0;
}

static void store(struct pressure *p, unsigned level) { __atomic_store_n(&p->level, level, __ATOMIC_RELAXED); }

void pressure_relieve(struct pressure *p)
{
	p->most = 0;
	store(p, 0);
}

enum pressure_news pressure_feed(struct pressure *p, const struct pressure_part *part, unsigned count)
{
	const struct pressure_part *worst = part;
	unsigned before = p->level, depth, least;
	bool calm = true, over = false;

	for (unsigned i = 0; i < count; i++) {
		calm &= part[i].calm;
		over |= part[i].ratio >= 1;
		if (part[i].depth > worst->depth)
			worst = &part[i];
	}
	p->cause = worst->cause;
	p->ratio = worst->ratio;
	if (!before && !over)
		return PRESSURE_SAME;
	depth = depth_of(worst->depth);
	least = before > 1 + PRESSURE_FALL ? before - 1 - PRESSURE_FALL : 0;
	if (depth < least)
		depth = least;
	if (calm && !depth) {
		pressure_relieve(p);
		return PRESSURE_OVER;
	}
	store(p, 1 + depth);
	unsigned classes = pressure_classes(1 + depth);
	if (before && classes <= p->most)
		return PRESSURE_SAME;
	p->most = classes;
	return PRESSURE_ROSE;
}

unsigned pressure_share(unsigned level, unsigned class)
{
	unsigned from = 1 + (PRESSURE_CLASSES - 1 - class) * PRESSURE_CLASS;
	if (level <= from)
		return 0;
	return level - from < PRESSURE_CLASS ? level - from : PRESSURE_CLASS;
}

unsigned exchange_pressure(const struct exchange *ex)
{
	unsigned here = pressure_level(&ex->worker->pressure), there = ex->route->upstream ? pressure_level(&ex->route->upstream->pressure) : 0;
	return here > there ? here : there;
}
