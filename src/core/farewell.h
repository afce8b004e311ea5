/* farewell.h - private: streams that have no end of their own are ended at a drain where their client sees an end, not a cut (behaviour §12).
 *
 *   text/event-stream    between two events: the body ends there
 *   websocket            between two frames from the upstream: a close frame (1001, going away), and what more comes from there is dropped; the
 *                        client's answer ends the tunnel
 */
#ifndef SRC_CORE_FAREWELL_H
#define SRC_CORE_FAREWELL_H

#include "core/exchange.h"

struct farewell;                              /* of one exchange; NULL: it ends by itself, or nobody can tell where it may */
void farewell_begin(struct exchange *);       /* its head goes out */
/* What of these bytes the client gets. */
struct slice farewell_pass(struct exchange *, struct slice);
void farewell_fini(struct exchange *);

#endif
