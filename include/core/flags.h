/* flags.h - feature flags: an immutable, counted set, the book in which the one that holds now stands, and what a request sees of it.
 *
 *	{"flags": {"new-search": true,
 *	           "checkout":   {"enabled": true, "share": "10%", "key": "header:x-user", "variants": {"a": "50%", "b": "50%"}}}}
 *
 * A flag is on for the share of the requests whose key (client_ip, header:NAME, cookie:NAME; client_ip when left out) stands below it: a place
 * between 0 and 1 made of the key and the flag's name, the same in every process and for ever; so a growing share keeps who was in it.
 * Who is in has one variant, by a second place that knows nothing of the first. A request without the key stands last: it is in at 100% only,
 * and gets the last variant. Members that are not known here are ignored, and shown as they are.
 *
 * The control thread publishes; a worker holds on to the set that it saw last, so that looking is one atomic load; an exchange takes its set when
 * first asked and keeps it: no request sees two.
 */
#ifndef CORE_FLAGS_H
#define CORE_FLAGS_H

#include <pthread.h>

#include "conf/schema.h"
#include "base/text.h"

struct exchange;
struct worker;
struct request;
struct flag_set;

/* NULL: out of memory, or no such document: then `why` gets the words. */
struct flag_set *flag_set_read(struct span json, struct text *why);
struct flag_set *flag_set_ref(struct flag_set *);
void flag_set_unref(struct flag_set *);       /* NULL is harmless */
unsigned flag_set_count(const struct flag_set *);
bool flag_set_has(const struct flag_set *, const struct conf_flag *);       /* the variant too, if it names one */
struct span flag_set_document(const struct flag_set *);    /* as it was read: JSON */
/* "+new, ~other, -gone", as far as there is room; empty: the flags are the same. */
void flag_set_changes(const struct flag_set *before, const struct flag_set *after, struct text *out);
/* Is it on? *variant (may be NULL): the request's, or empty. */
bool flag_set_on(const struct flag_set *, struct span name, const struct request *, struct span client_address, struct span *variant);

struct flag_book { pthread_mutex_t lock; struct flag_set *set; };           /* set: atomic; written under the lock */
bool flag_book_init(struct flag_book *);      /* with a set without flags; false: out of memory */
void flag_book_fini(struct flag_book *);
void flag_book_publish(struct flag_book *, struct flag_set *);             /* takes over the reference */

/* ── for a request; off when its worker has no book ── */
bool exchange_flag(struct exchange *, const struct conf_flag *);
bool exchange_dry_run(struct exchange *, const struct conf_dry_run *);
/* The set that it goes by, taken at the first question; NULL: its worker has no book. */
const struct flag_set *exchange_flags(struct exchange *);
/* x-flags for the upstream, and nobody else's: the flags of that list which are on. */
void exchange_forward_flags(struct exchange *, const struct conf_texts *names);

#endif
