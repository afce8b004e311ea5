/* idem_script.h - how a key's claim stands in a store: one script, and the words that it is called with.
 *
 *	outrigger:idempotency:{ROUTE}:KEY  =  R FINGERPRINT TOKEN      somebody runs it, who renews the key's time to live while it runs
 *	                                      D FINGERPRINT ANSWER     it has run
 *	                                      L FINGERPRINT            it has run, but there is no answer to repeat
 *
 * The token is the fence: whoever lost the claim (it stood still for longer than its lease, and another one runs) can change nothing any more.
 */
#ifndef SRC_POLICY_IDEM_SCRIPT_H
#define SRC_POLICY_IDEM_SCRIPT_H

#include "base/text.h"
#include "core/store.h"
#include "idem_key.h"

enum { IDEM_TOKEN = 24, IDEM_WORDS = 8, IDEM_WORDS_TEXT = 2048 };

enum idem_op { IDEM_OP_CLAIM, IDEM_OP_RENEW, IDEM_OP_SAVE, IDEM_OP_RELEASE };
struct idem_question {
	enum idem_op  op;
	struct span   route, token, answer;   /* SAVE: the answer; .at NULL: there is none */
	const unsigned char *key, *fingerprint;
	uint64_t      ms;                     /* time to live; not of a RELEASE */
};
extern const struct store_script idem_script;
/* How many words; their texts are in `memory` (and in the question). 0: the route's name is too long for it. */
unsigned idem_script_words(const struct idem_question *, char memory[IDEM_WORDS_TEXT], struct span words[IDEM_WORDS]);

/* What a CLAIM is answered with. */
enum idem_verdict { IDEM_VERDICT_FIRST, IDEM_VERDICT_RUNS, IDEM_VERDICT_DONE, IDEM_VERDICT_LOST, IDEM_VERDICT_OTHER, IDEM_VERDICT_NONSENSE };
enum idem_verdict idem_script_verdict(struct span reply, struct span *answer);
/* Of the others: is the claim (still) ours? */
static inline bool idem_script_done(struct span reply) { return span_eq(reply, SPAN("1")); }

#endif
