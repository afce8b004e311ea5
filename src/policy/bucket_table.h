/* bucket_table.h - buckets by key, so many and no more. When its place is taken a bucket that is full (idle) makes room, as forgetting it gives
 * nobody anything; when there is none, new keys share one overflow bucket. So nobody gets a fresh bucket by pushing others out.
 *
 * A key is known by 128 bits of a seeded hash. The memory is touched as keys come.
 */
#ifndef SRC_POLICY_BUCKET_TABLE_H
#define SRC_POLICY_BUCKET_TABLE_H

#include "bucket.h"

struct bucket_key { uint64_t high, low; };        /* never both 0 */
struct bucket_table {
	struct { struct bucket_key key; struct bucket bucket; } *at;
	uint64_t size, max, used;             /* size: places, a power of two; used: how many hold a key */
	struct bucket overflow;
	uint64_t overflowed;                  /* how often it was needed */
};

bool bucket_table_init(struct bucket_table *, uint64_t max_keys);      /* false: out of memory */
void bucket_table_fini(struct bucket_table *);
/* The key's bucket, new and full if need be; good until the next call. */
struct bucket *bucket_table_find(struct bucket_table *, struct bucket_key, const struct bucket_conf *, uint64_t now_us);

#endif
