/* bucket_table.h - buckets by key, so many and no more. When its place is taken a bucket that is full (idle) makes room, as forgetting it gives
 * nobody anything; when there is none, new keys share one overflow bucket. So nobody gets a fresh bucket by pushing others out.
 *
 * A key is known by 128 bits of a seeded hash. The memory is touched as keys come. It is one piece without pointers, brought by the owner: a table
 * that was there before, with its seed, goes on.
 */
#ifndef SRC_POLICY_BUCKET_TABLE_H
#define SRC_POLICY_BUCKET_TABLE_H

#include <stddef.h>

#include "bucket.h"

struct bucket_key { uint64_t high, low; };        /* never both 0 */
struct bucket_table {
	struct bucket_rows *rows;
	uint64_t size, max;                   /* size: places, a power of two */
	uint64_t overflowed;                  /* how often the overflow was needed */
};
struct bucket_rows {
	uint64_t      seed;                   /* of the hash: the owner's; 0: a new table */
	uint64_t      used;                   /* how many hold a key */
	struct bucket overflow;
	struct { struct bucket_key key; struct bucket bucket; } at[];
};

size_t bucket_table_bytes(uint64_t max_keys);
/* memory: zeroed, or that of a table of as many keys. */
void bucket_table_init(struct bucket_table *, void *memory, uint64_t max_keys);
/* The key's bucket, new and full if need be; good until the next call. */
struct bucket *bucket_table_find(struct bucket_table *, struct bucket_key, const struct bucket_conf *, uint64_t now_us);

#endif
