/* admin_access.h - who may see or do what on the admin listener. */
#ifndef SRC_APP_ADMIN_ACCESS_H
#define SRC_APP_ADMIN_ACCESS_H

#include "base/text.h"
#include "conf/conf.h"
#include "core/exchange.h"

enum { TOKEN_MAX_BYTES = 4096 };

struct admin_access {
	const struct conf_admin *conf;
	size_t token_len;                     /* 0: there is none */
	char   token[TOKEN_MAX_BYTES];
};

/* Reads the token. false with *why set: the file cannot be read, or holds no token. */
bool admin_access_init(struct admin_access *, const struct conf_admin *, char why[128]);
/* NULL: let it in. Otherwise one sentence that says what is missing. `changes`: the request would change something. */
const char *admin_access_refuses(const struct admin_access *, const struct exchange *, bool changes);

#endif
