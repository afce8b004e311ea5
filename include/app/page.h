/* page.h - pages made on the spot: what answers a request that a service (service.h) has taken.
 *
 * The request is read whole first, its body thrown away. Then `answer` is called once, on the service's loop, and fills in a page, which
 * goes out as fast as the client takes it: a slow one costs its page's memory, and long pages may take only so much of it together.
 */
#ifndef APP_PAGE_H
#define APP_PAGE_H

#include "base/text.h"
#include "core/exchange.h"
#include "edge/loop.h"

enum { PAGE_MAX_BYTES = 64 * 1024 * 1024 };

struct page {
	int          status;                  /* 200 to begin with                    */
	struct span  content_type;            /* text/plain to begin with             */
	struct field extra;                   /* one more field when name.len         */
	struct text  body;                    /* empty to begin with, grows           */
	bool         packs;                   /* worth gzip, when the client takes that */
};

/* `self` of the service: service_new(loop, address, &page_ops, pages, why). */
struct pages {
	struct loop *loop;
	void (*answer)(void *self, struct exchange *, struct page *);
	void *self;
	size_t waiting_bytes;                 /* private: of long pages that have not gone out yet */
};
extern const struct upstream_ops page_ops;

/* The whole answer is one plain sentence and an end of line. */
void page_say(struct page *, int status, const char *sentence);

#endif
