/* known.h - keys, by their hash, of which something is known for 30 s since it was last said: that answers to them are not for all; or with which
 * request fields they vary. Hints: a slot is lost to a later key. Whoever has it locks it.
 */
#ifndef SRC_POLICY_KNOWN_H
#define SRC_POLICY_KNOWN_H

#include "base/span.h"

enum { KNOWN_KEYS = 1024, KNOWN_US = 30000000 };

struct known { uint64_t hash, until_us; char *names; };       /* as vary.h has them; NULL: none were given */
struct known_keys { struct known at[KNOWN_KEYS]; };           /* zeroed: nothing is known */

void known_fini(struct known_keys *);
/* NULL: nothing. Good until the next call. */
const struct known *known_find(const struct known_keys *, uint64_t hash, uint64_t now_us);
void known_note(struct known_keys *, uint64_t hash, uint64_t now_us);
/* Without memory it is not remembered. */
void known_note_names(struct known_keys *, uint64_t hash, struct span names, uint64_t now_us);

#endif
