/* hist.c - which bucket a latency falls into, and what the buckets say.
 *
 * 0 to 7 us have a bucket each (0 to 7). From 8 us on, an octave [2^k, 2^(k+1)), k >= 3, has eight buckets of equal
 * width 2^(k-3); the first of them is (k-2)*8. So bucket 8 is 8 us, 16 is [16,18), 24 is [32,36), and the bucket of a
 * value is read off its four highest bits. A bucket is at most an eighth of its lower end wide, and its middle is at
 * most 1/16 = 6.25 % away from any value in it. The last bucket also takes everything from 2^42 us (50 days) on.
 */
#include "base/hist.h"

enum { EXACT = HIST_SUB, FIRST_OCTAVE = 3 };

unsigned hist_bucket(uint64_t us)
{
	if (us < EXACT)
		return (unsigned)us;
	unsigned octave = 63 - (unsigned)__builtin_clzll(us);
	unsigned bucket = (octave - FIRST_OCTAVE + 1) * HIST_SUB + (unsigned)(us >> (octave - FIRST_OCTAVE)) % HIST_SUB;
	return bucket < HIST_BUCKETS ? bucket : HIST_BUCKETS - 1;
}

static uint64_t bucket_bottom_us(unsigned bucket)
{
	if (bucket < EXACT)
		return bucket;
	return (uint64_t)(HIST_SUB + bucket % HIST_SUB) << (bucket / HIST_SUB - 1);
}

uint64_t hist_bucket_top_us(unsigned bucket)
{
	return bucket >= HIST_BUCKETS - 1 ? UINT64_MAX : bucket_bottom_us(bucket + 1) - 1;
}

void hist_add(struct hist *h, uint64_t us)
{
	counter_add(&h->bucket[hist_bucket(us)], 1);
	counter_add(&h->sum_us, us);
	counter_add(&h->count, 1);
}

void hist_merge(struct hist *into, const struct hist *from)
{
	uint64_t count = counter_get(&from->count);
	if (!count)
		return;                           /* most are empty, of most routes and classes: their memory is not even looked at */
	counter_add(&into->count, count);
	counter_add(&into->sum_us, counter_get(&from->sum_us));
	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		counter_add(&into->bucket[i], counter_get(&from->bucket[i]));
}

/* The middle of the bucket that holds the value of rank ceil(q * n). n is summed from the buckets: `count` may be one
 * ahead or behind them while the writer is at it. The last bucket has no middle; its bottom is given. */
uint64_t hist_quantile_us(const struct hist *h, double q)
{
	uint64_t n = hist_count_below(h, UINT64_MAX), seen = 0;
	double rank = q * (double)n;

	if (!n)
		return 0;
	for (unsigned i = 0; i < HIST_BUCKETS - 1; i++) {
		uint64_t here = counter_get(&h->bucket[i]), bottom = bucket_bottom_us(i);
		seen += here;
		if (here && (double)seen >= rank)
			return bottom + (hist_bucket_top_us(i) - bottom) / 2;
	}
	return bucket_bottom_us(HIST_BUCKETS - 1);
}

/* Buckets that lie wholly at or below us: never counts a value above it. */
uint64_t hist_count_below(const struct hist *h, uint64_t us)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < HIST_BUCKETS && hist_bucket_top_us(i) <= us; i++)
		n += counter_get(&h->bucket[i]);
	return n;
}
