/* sockets.h - every listening socket of the configuration, opened before anything runs: by the supervisor, which keeps them while servers come and
 * go, or by the server itself when there is no supervisor. A connection that waits in a backlog outlives a server that crashes.
 */
#ifndef APP_SOCKETS_H
#define APP_SOCKETS_H

#include "conf/conf.h"

struct sockets {
	int     *fds;                         /* [listener * threads + thread]; a unix socket: the same one, for all threads */
	unsigned listeners, threads;
	int      admin;                       /* -1: none */
};

/* EXIT_DONE, or EXIT_LISTEN and it was said which one and why, or EXIT_INTERNAL. */
int  sockets_open(struct sockets *, const struct conf *);
/* All listen, whatever a server has done to them at its end. */
void sockets_listen_again(const struct sockets *);
void sockets_unlink(const struct sockets *, const struct conf *);         /* takes socket files away */
void sockets_close(struct sockets *, const struct conf *);                /* ... and closes all */
void sockets_forget(struct sockets *);    /* in a server that has handed the descriptors on to its listeners: frees the table only */

#endif
