/* document.h - private: one document kept fresh in the background, on the control thread: a file that is looked at every second and read again
 * when it is another one, or a URL that is fetched again and again, with If-None-Match. What its owner takes for good is remembered: the same bytes
 * are not shown twice. A failure changes nothing but the pause.
 */
#ifndef SRC_APP_DOCUMENT_H
#define SRC_APP_DOCUMENT_H

#include <uv.h>

#include "base/text.h"
#include "edge/fetch.h"

struct document;

enum { DOCUMENT_ERROR_MAX = 160 };

struct document_plan {
	const char *name;                     /* "file:/PATH" or a URL; outlives the document */
	const char *accept;                   /* "Accept: ..." */
	size_t      bytes_max;
	/* These are called from the loop; they must not free the document. */
	bool      (*read)(void *self, struct span bytes, struct text *why);       /* others than the last good ones. false: no good, and why */
	void      (*kept)(void *self, bool again);                /* they are what they were; again: after a failure */
	void      (*seen)(void *self);        /* NULL, or: the file was looked at, and is what was read */
	void      (*failed)(void *self, const char *error, bool news);            /* news: it was well, or failed otherwise, before */
	void      (*ended)(void *self);       /* a try is over, after one of the three */
	uint64_t  (*timeout_us)(void *self);
	/* A URL's next fetch. `result` is NULL, or the answer to the last one; failures: in a row. */
	uint64_t  (*pause_us)(void *self, const struct fetch_result *, unsigned failures);
	void       *self;
};

/* NULL: out of memory. The first try comes at once. */
struct document *document_new(uv_loop_t *, struct fetcher *, const struct document_plan *);
void document_free(struct document *);    /* before the fetcher; NULL is harmless. Memory goes when the loop has closed its timer */
bool document_tried(const struct document *);             /* has one try ended? */
uint64_t document_good_us(const struct document *);       /* when it was last known to be what it is; 0: never */
/* The next try is now, whatever the file looks like. false: one is on its way. */
bool document_hurry(struct document *);
/* 0.5 s after the first failure, doubling to 60 s, less up to a half. unit: a random number from 0 to 1. */
uint64_t document_back_off_us(unsigned failures, double unit);

#endif
