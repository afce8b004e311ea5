/* jose.h - JSON Web Key Sets (RFC 7517), and signatures checked with them: the only user of cjose. */
#ifndef EDGE_JOSE_H
#define EDGE_JOSE_H

#include "base/text.h"
#include "core/keys.h"

enum { JOSE_KEYS_MAX = 256 };

/* Keys that are for something else, or of a kind that is not known, are left out; weak ones too. NULL: no set, or no key in it that could be used;
 * `why` (over memory of the caller's) gets the words. */
struct key_set *jose_read(struct span json, struct text *why);
const char *jose_version(void);

#endif
