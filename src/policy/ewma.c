/* ewma.c - see ewma.h. Pure arithmetic. */
#include "ewma.h"

#include <math.h>

static double fading(struct ewma e, uint64_t now_us)
{
	return exp(now_us > e.at_us ? -(double)(now_us - e.at_us) / EWMA_FADE_US : 0);
}

static struct ewma at(uint64_t ns, uint64_t now_us)
{
	return (struct ewma){ ns < EWMA_MAX_NS ? ns : EWMA_MAX_NS, now_us ? now_us : 1 };
}

uint64_t ewma_now(struct ewma e, uint64_t now_us)
{
	return e.at_us ? (uint64_t)((double)e.ns * fading(e, now_us)) : 0;
}

struct ewma ewma_answered(struct ewma e, uint64_t now_us, uint64_t took_us)
{
	uint64_t took = took_us < EWMA_MAX_NS / 1000 ? took_us * 1000 : EWMA_MAX_NS;
	if (!e.at_us || took > e.ns)
		return at(took, now_us);
	double old = fading(e, now_us);
	return at((uint64_t)((double)e.ns * old + (double)took * (1 - old)), now_us);
}

struct ewma ewma_failed(struct ewma e, uint64_t now_us, uint64_t took_us)
{
	uint64_t twice = 2 * ewma_now(e, now_us);
	if (twice < EWMA_FAILED_NS)
		twice = EWMA_FAILED_NS;
	return ewma_answered((struct ewma){ 0 }, now_us, took_us * 1000 > twice ? took_us : twice / 1000);
}

struct ewma ewma_unanswered(struct ewma e, uint64_t now_us, uint64_t waited_us)
{
	uint64_t least = e.at_us ? ewma_now(e, now_us) : EWMA_FAILED_NS;
	return waited_us * 1000 <= least ? e : ewma_answered((struct ewma){ 0 }, now_us, waited_us);
}

double ewma_cost(struct ewma e, uint64_t now_us, uint64_t in_flight, uint64_t weight)
{
	if (e.at_us)
		return (double)(ewma_now(e, now_us) + 1) * (double)(in_flight + 1) / (double)weight;
	return in_flight ? (double)EWMA_MAX_NS * (double)(in_flight + 1) * 1e3 / (double)weight : 0;
}
