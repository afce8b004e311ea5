/* accept.h - what a client would take: Accept and Accept-Encoding (RFC 9110 §12.4.2, §12.5), as far as the admin pages need it. */
#ifndef SRC_APP_ACCEPT_H
#define SRC_APP_ACCEPT_H

#include "base/span.h"

/* The highest weight, in thousandths, that the list gives to this very word; 0: it does not name it, or does not want it. */
unsigned accept_weight(struct span list, struct span word);

#endif
