/* outlet.h - where lines of the access log go: a descriptor, and the lines that are on their way to it. Control thread only.
 *
 * `bytes` holds whole lines in [from, to), but for the first, of which a part may be written already. What cannot be written now stays.
 */
#ifndef SRC_APP_OUTLET_H
#define SRC_APP_OUTLET_H

#include "conf/conf.h"
#include "edge/loop.h"

/* Who is told, once, that an outlet which was full takes more; not for files, which are never full for a moment only. */
struct outlet_room { struct loop *loop; void (*ready)(void *self); void *self; };

struct outlet {
	struct outlet *next;                  /* the owner's: of those that are to be closed */
	uint64_t until_us;                    /* the owner's: ... and then at the latest     */
	int      fd;
	bool     owns_fd, is_socket, complained;
	struct outlet_room room;
	struct watch watch;                   /* for it; while `awaits` */
	bool     awaits;
	size_t   write_max;
	size_t   from, to, size;
	char    *bytes;
};

struct outlet *outlet_open(const struct conf_access_log *, struct outlet_room);    /* NULL: errno says why. Not for `off` */
void outlet_close(struct outlet *);
/* The file of that name from now on; the one before gets what is here already. false: errno, and it is as it was. */
bool outlet_reopen(struct outlet *, struct span file);
/* Makes room behind `to` for so many bytes; what is there stays. */
bool outlet_make_room(struct outlet *, size_t more);
/* true: all is out. */
bool outlet_write(struct outlet *);
uint64_t outlet_lines(const char *at, size_t len);         /* how many there are */

#endif
