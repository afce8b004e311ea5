/* rate_store.h - limits that several instances share: one script per decision, which runs inside Redis with Redis' own clock.
 *
 * It looks at all limits, and charges them only when all let it pass: the same as rate_limit.c does in memory, with the same arithmetic as
 * bucket.c (in microseconds with fractions: at rates over 100,000/s a percent may be lost).
 */
#ifndef SRC_POLICY_RATE_STORE_H
#define SRC_POLICY_RATE_STORE_H

#include "bucket.h"
#include "core/exchange.h"
#include "core/store.h"

extern const struct store_script rate_store_script;

enum { RATE_STORE_DIGEST = 16, RATE_STORE_WORDS = 1 + 8 * 6 };
struct rate_question {
	struct bucket_conf conf;
	struct span   name;                   /* of the limit */
	unsigned char digest[RATE_STORE_DIGEST];      /* of the key */
	bool          weighs;                 /* can it refuse? A dry_run cannot */
};

/* The words of the call, in the arena; 0: out of memory. */
unsigned rate_store_words(struct arena *, struct span route, const struct rate_question *, unsigned count, struct span words[RATE_STORE_WORDS]);
/* false: that is no answer of the script. */
bool rate_store_read(struct span reply, struct bucket_answer *, unsigned count, bool *passed);

#endif
