/* access_line.h - what a line of the access log looks like. Append only, no printf: this runs once per request. */
#ifndef APP_ACCESS_LINE_H
#define APP_ACCESS_LINE_H

#include "app/observe.h"

/* Room for the longest line there is, every byte of it escaped. */
enum { ACCESS_LINE_MAX = 32 * 1024 };

struct access_clock { uint64_t second; char text[20]; };           /* "2026-11-20T23:12:04." of that second; zeroed: not known yet */

/* Length of the line with its end of line; 0: it did not fit. */
typedef size_t access_line(char out[ACCESS_LINE_MAX], struct access_clock *, const struct exchange *, const struct measured *);
access_line access_line_json, access_line_text, access_line_otel, access_line_clf;

#endif
