/* survivors.h - clients' connections that outlive the server that had accepted them: those that were idle when it crashed, or whose next request it
 * had not read yet. The dying server passes them to its supervisor (crash.h, keeper.h), and the successor goes on with them: only requests that were
 * in flight are lost.
 */
#ifndef APP_SURVIVORS_H
#define APP_SURVIVORS_H

#include <stdbool.h>

#include "app/sockets.h"

enum { SURVIVORS_MAX = 65536, SURVIVORS_ADDRESS = 160 };      /* more are closed, as they would have been; a longer address: of no listener */

struct survivor { int fd; char address[SURVIVORS_ADDRESS]; };     /* where it came in: the listener's address */
struct survivors { struct survivor *at; unsigned count, room; };

void survivors_add(struct survivors *, int fd, struct span address);      /* owns fd; no memory, no room: closes it */
void survivors_close(struct survivors *);         /* those that nobody has taken (fd -1), and the table */

#endif
