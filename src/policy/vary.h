/* vary.h - the request fields that an answer varies with (RFC 9110 §12.5.5), and what a request has in them: as the app sees it, not as the
 * client sent it. So what outrigger takes out is not there, and what it puts in counts.
 *
 * Pure: reads facts of the exchange that do not change once its request has been let in, so that any thread may ask while the exchange stands still.
 */
#ifndef SRC_POLICY_VARY_H
#define SRC_POLICY_VARY_H

#include "core/exchange.h"

enum { VARY_NAMES = 8, VARY_NAMES_TEXT = 512, VARY_TEXT = 4096 };
/* Adds the names in the reply's Vary, lower case, each with a ',' behind it; not those that `names` has, and not those that a
 * coalesce key has already (NULL: it has none).
 * false: it varies with everything, with more than VARY_NAMES, or with what is another thing in each request (X-Request-ID and the like). */
bool vary_names_add(struct text *names, const struct reply *, const struct conf_texts *key);
/* Adds "name=value,value,\n" for each of the names. */
void vary_add(struct text *out, struct span names, const struct exchange *);
/* Adds the values of one field, each with a ',' behind it. */
void vary_add_values(struct text *out, struct span name, const struct exchange *);

#endif
