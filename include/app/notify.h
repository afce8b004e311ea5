/* notify.h - what a service manager is told (systemd's sd_notify protocol, by hand: one datagram per message).
 *
 *   READY=1       requests are served; again when a reload is over     RELOADING=1   a reload has begun
 *   STOPPING=1    it drains; with how long that may take               WATCHDOG=1    the loops turn
 *
 * A server under a supervisor tells the supervisor, which is the one that the manager knows, and passes it on: so a unit needs no NotifyAccess.
 *
 * Nobody listens where NOTIFY_SOCKET is not set: every call then does nothing. A message that cannot be delivered is lost: the service
 * manager's business is not worth waiting for. Control thread only.
 */
#ifndef APP_NOTIFY_H
#define APP_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

struct notify {
	int      fd;                          /* -1: nobody listens */
	uint64_t watchdog_us;                 /* it wants to hear of us at least this often; 0: never */
};

/* From the environment: NOTIFY_SOCKET (a path, or @ and an abstract name), WATCHDOG_USEC and WATCHDOG_PID. false: there is a
 * NOTIFY_SOCKET, and it cannot be reached; *why is then set. supervisor: a socket to ours, which is then spoken into instead; or -1. */
bool notify_init(struct notify *, int supervisor, const char **why);
void notify_pass_on(struct notify *, struct span message);   /* a message of the server's; others are thrown away */
void notify_fini(struct notify *);
void notify_ready(struct notify *, struct span status);      /* status: one line for people */
void notify_reloading(struct notify *, uint64_t now_us);     /* followed by notify_ready, whatever comes of it */
void notify_stopping(struct notify *, uint64_t patience_us);
void notify_alive(struct notify *);

#endif
