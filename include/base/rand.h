/* rand.h - xoshiro256** (Blackman, Vigna 2018): fast, not for secrets. One per worker; tests give it a fixed seed. */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include <stdint.h>

struct rand { uint64_t s[4]; };

static inline void rand_seed(struct rand *r, uint64_t seed)      /* splitmix64, so that any seed will do */
{
	for (int i = 0; i < 4; i++) {
		uint64_t z = (seed += 0x9e3779b97f4a7c15u);
		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
		r->s[i] = z ^ (z >> 31);
	}
}
static inline uint64_t rand_rotl(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }
static inline uint64_t rand_next(struct rand *r)
{
	uint64_t out = rand_rotl(r->s[1] * 5, 7) * 9, t = r->s[1] << 17;
	r->s[2] ^= r->s[0]; r->s[3] ^= r->s[1]; r->s[1] ^= r->s[2]; r->s[0] ^= r->s[3];
	r->s[2] ^= t; r->s[3] = rand_rotl(r->s[3], 45);
	return out;
}
/* 0 .. n-1, n > 0 (multiply-shift; the bias is below 2^-32 for the n used here). */
static inline uint64_t rand_below(struct rand *r, uint64_t n) { return (uint64_t)(((unsigned __int128)rand_next(r) * n) >> 64); }
/* 0.0 <= x < 1.0 */
static inline double rand_unit(struct rand *r) { return (double)(rand_next(r) >> 11) * 0x1.0p-53; }

#endif
