/* supervisor.h - the parent of the server: a small process that never touches a request (behaviour §12).
 *
 * It opens the listening sockets and keeps them, so that a connection in a backlog waits for the next server. It starts the server, passes signals
 * on, and replaces a server that crashes, is killed, or has a loop that stopped; then it tells which requests were in flight. A server that ends in
 * order ends it too, with the same exit code. As process 1 of a container it also reaps orphans.
 */
#ifndef APP_SUPERVISOR_H
#define APP_SUPERVISOR_H

#include "app/reload.h"

/* Takes over the configuration. Returns in the supervisor when all is over, and in each server that has ended by itself. */
int supervisor_run(struct conf *, const struct conf_reader *);

#endif
