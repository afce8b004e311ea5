/*
 * latency.h - a histogram of times, exact below 128 ns and within 1 % above: 128 steps for each power of two.
 */
#ifndef OUTRIGGER_BENCH_LATENCY_H
#define OUTRIGGER_BENCH_LATENCY_H

#include <stddef.h>
#include <stdint.h>

enum { LATENCY_SUB_BITS = 7, LATENCY_STEPS = 1 << LATENCY_SUB_BITS, LATENCY_SLOTS = (64 - LATENCY_SUB_BITS + 1) * LATENCY_STEPS };

struct latency {
	uint64_t count;
	uint64_t slots[LATENCY_SLOTS];
};

static inline void latency_add(struct latency *l, uint64_t ns)
{
	unsigned shift = ns < LATENCY_STEPS ? 0 : 63u - (unsigned)__builtin_clzll(ns) - LATENCY_SUB_BITS;
	size_t row = ns < LATENCY_STEPS ? 0 : shift + 1;
	l->slots[row * LATENCY_STEPS + (size_t)((ns >> shift) & (LATENCY_STEPS - 1))]++;
	l->count++;
}

/* The time that `share` of all are not above, in µs; 0 when there are none. */
static inline double latency_us(const struct latency *l, double share)
{
	uint64_t rank = (uint64_t)(share * (double)l->count), seen = 0;
	for (size_t i = 0; i < LATENCY_SLOTS; i++) {
		seen += l->slots[i];
		if (!l->slots[i] || seen < rank)
			continue;
		size_t row = i / LATENCY_STEPS, step = i % LATENCY_STEPS;
		uint64_t ns = row ? (uint64_t)(step + LATENCY_STEPS) << (row - 1) : step;
		return (double)ns / 1000.0;
	}
	return 0;
}

#endif
