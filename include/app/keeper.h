/* keeper.h - whom a server asks for listening sockets while it runs: its supervisor, which keeps them for the successor and which, other than the
 * server, may still bind a low port. Without a supervisor the server opens them itself.
 *
 *   server ─▶ supervisor      open ADDRESS for thread N  │ release ADDRESS │ take these, clients of ADDRESS (a dying one)
 *   supervisor ─▶ server      the descriptor, or why not │ (nothing)       │ (nothing)
 */
#ifndef APP_KEEPER_H
#define APP_KEEPER_H

#include "app/survivors.h"

/* Server's end; -1: there is no supervisor. Control thread; waits for the answer, which comes at once, for a second at most. */
struct socket_row *keeper_open(int keeper, struct sockets *into, struct span address, char why[SOCKETS_WHY]);
/* Nobody listens there any more. A file that a unix socket has left is taken away. */
void keeper_release(int keeper, struct span address);
enum { KEEPER_FDS = 250 };                    /* the kernel takes 253 */
/* At most so many connections of clients, for the successor. Never waits; in a signal handler too. No room: they are not passed on. */
void keeper_leave(int keeper, struct span address, const int *fds, unsigned count);

/* Supervisor's end. */
bool keeper_pair(int *ours, int *theirs);
void keeper_answer(int ours, struct sockets *, struct survivors *);       /* what was asked; never waits */

#endif
