/* flags.h - feature flags in the server: gets the document of flags (core/flags.h) and puts it into the book that all workers look into. On the
 * control thread.
 *
 * A file is looked at every second; a URL is asked every `interval`, more or less a fifth, with If-None-Match; after a failure again after 0.5 s,
 * doubling to 60 s. What cannot be got or read is told once, and the last good flags go on being used. Without `flags.from` there are none.
 */
#ifndef APP_FLAGS_H
#define APP_FLAGS_H

#include "core/flags.h"

struct exchange; struct json; struct prom; struct server; struct flags; struct conf;

struct flags *flags_new(struct server *);     /* NULL: out of memory. Nothing is asked for before flags_adopt() */
struct flag_book *flags_book(struct flags *); /* lives as long as the flags */
void flags_adopt(struct flags *, const struct conf *);    /* the configuration in force */
/* Calls back when the flags were tried to be got; maybe at once. */
void flags_on_settled(struct flags *, void (*settled)(void *), void *self);
void flags_stop(struct flags *);              /* before the fetcher goes */
void flags_free(struct flags *);              /* when no worker looks any more */

/* How they are seen. */
void flags_metrics(const struct server *, struct prom *);
void flags_json(const struct server *, struct json *, const char *key, bool document);      /* document: with the flags themselves */
void flags_text(const struct server *, struct text *);    /* a line of `outrigger status`, if there are flags */

/* For `outrigger check`: warnings, a line each, if the flags are a file and it is here. */
void flags_check(const struct conf *, struct text *out);

#endif
