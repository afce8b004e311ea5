/* gzip.h - a text packed (RFC 1952), quickly: a page of numbers becomes a twentieth all the same. */
#ifndef SRC_APP_GZIP_H
#define SRC_APP_GZIP_H

#include "base/text.h"

/* In place. false: it stays as it was, for want of memory. */
bool gzip_text(struct text *);

#endif
