/* service.h - pages that this process serves itself (admin, demo): the same front, strictness, limits and core as for proxied requests, with
 * own upstream_ops at the inner end instead of a connection.
 */
#ifndef APP_SERVICE_H
#define APP_SERVICE_H

#include "core/exchange.h"
#include "edge/listen.h"

struct service;

/* Listens on the loop's thread. fd: of a socket that listens there, which is then the service's; or -1.
 * NULL with *why set: the address cannot be had, or memory. */
struct service *service_new(struct loop *, struct span address, int fd, const struct upstream_ops *, void *self, char why[128]);
void service_free(struct service *);              /* closes everything; the loop must not run any more, or be about to stop */

/* Answers a call whole, inside upstream_ops.start (which then returns NULL): status, content type, body (copied), and one more field
 * when name.len. */
void service_answer(struct exchange *, int status, struct span content_type, struct span body, struct field extra);

#endif
