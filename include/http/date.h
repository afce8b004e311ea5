/* date.h - dates in fields: "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 §5.6.7, IMF-fixdate; the two obsolete forms are no dates here). */
#ifndef HTTP_DATE_H
#define HTTP_DATE_H

#include "base/span.h"

/* Seconds since 1970. false: no such date. */
bool http_date_read(struct span, uint64_t *seconds);

#endif
