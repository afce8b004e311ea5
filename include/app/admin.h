/* admin.h - the admin listener, on the control thread (interface §3). */
#ifndef APP_ADMIN_H
#define APP_ADMIN_H

struct admin;
struct server;

/* NULL with *why set: cannot listen. */
struct admin *admin_new(struct server *, char why[128]);
void admin_adopt(struct admin *);                 /* server->conf is another one; NULL is harmless */
void admin_free(struct admin *);

#endif
