/* sockets.h - listening sockets: all of the configuration's, opened before anything runs, and those that a reload adds. A supervisor keeps them while
 * servers come and go (a connection in a backlog outlives a server that crashes); without one the server opens them itself.
 */
#ifndef APP_SOCKETS_H
#define APP_SOCKETS_H

#include "conf/conf.h"

enum { SOCKETS_WHY = 128 };

struct socket_row {                           /* one listener */
	struct span address;                  /* its own bytes */
	int        *fds;                      /* [threads]; a unix socket: the same one, for all; -1: handed on to a listener */
};
struct sockets {
	struct socket_row *rows;
	unsigned count, threads;
	int      admin;                       /* -1: none */
};

/* EXIT_DONE, or EXIT_LISTEN and it was said which one and why, or EXIT_INTERNAL. */
int  sockets_open(struct sockets *, const struct conf *);
struct socket_row *sockets_row(const struct sockets *, struct span address);      /* NULL: there is none */
/* One more, bound and listening. NULL: not, and why. */
struct socket_row *sockets_add(struct sockets *, struct span address, char why[SOCKETS_WHY]);
struct socket_row *sockets_add_empty(struct sockets *, struct span address);      /* NULL: no memory */
void sockets_drop(struct sockets *, struct socket_row *);                 /* closes what it still has; a file stays */
/* All listen, whatever a server has done to them at its end. */
void sockets_listen_again(const struct sockets *);
void sockets_unlink(struct span address);                                 /* takes the file of a unix socket away */
void sockets_close(struct sockets *, const struct conf *);                /* all, files too */
void sockets_forget(struct sockets *);    /* closes what was not handed on, and frees the table */

#endif
