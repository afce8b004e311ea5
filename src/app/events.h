/* events.h - what the admin listener tells while it happens: GET /events (frames for the live page, and rows of requests) and
 * GET /requests?follow (rows as lines of text, for `outrigger tap`).
 *
 * A frame is made once a second for all readers, and only while there is one. At most EVENT_READERS at a time. A reader that does not keep up
 * misses frames and rows; it is told how many rows.
 */
#ifndef SRC_APP_EVENTS_H
#define SRC_APP_EVENTS_H

#include "app/page.h"

struct admin;
struct events;
enum { EVENT_READERS = 8 };

struct events *events_new(struct admin *);
void events_free(struct events *);                /* the loop is about to stop; readers are closed by their front */
/* Does this request want a stream? */
bool events_wanted(const struct exchange *);
/* `self` is the struct events. As upstream_ops.start: see core/upstream.h. */
extern const struct upstream_ops events_ops;
/* GET /requests: the last ones, newest first, as JSON. */
void page_requests(struct admin *, const struct exchange *, struct page *);

#endif
