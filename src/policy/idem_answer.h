/* idem_answer.h - a kept answer as bytes, in memory or a store: numbers and lengths in text, then names and values, then the body.
 *
 *	1 STATUS FRAMING TOLD LENGTH CHUNKED FIELDS TRAILERS PHRASE BODY\n     (TOLD: is LENGTH the sender's word? The last two are lengths)
 *	NAME VALUE\n                                                           (lengths), once per field and trailer
 *	phrase, names and values, body
 *
 * What comes back from a store is judged like what comes from a peer.
 */
#ifndef SRC_POLICY_IDEM_ANSWER_H
#define SRC_POLICY_IDEM_ANSWER_H

#include "base/text.h"
#include "capture.h"

/* Counted; any thread may read it. */
struct idem_answer { unsigned refs; size_t len; char bytes[]; };
/* Of a capture that has ended, of which nothing was dropped. NULL: no memory, or beyond all bounds. */
struct idem_answer *idem_answer_new(const struct capture *);
struct idem_answer *idem_answer_ref(struct idem_answer *);
void idem_answer_unref(struct idem_answer *);     /* NULL is harmless */
static inline struct span idem_answer_span(const struct idem_answer *a) { return (struct span){ a->bytes, a->len }; }
/* NULL: that is none, or no memory. */
struct capture *idem_answer_read(struct span);

#endif
