/* admin_client.h - one question to the admin listener of a running outrigger, over a plain socket, with two seconds to answer it. */
#ifndef SRC_APP_ADMIN_CLIENT_H
#define SRC_APP_ADMIN_CLIENT_H

#include <stdio.h>

#include "base/text.h"

struct admin_answer { struct text text; unsigned status; struct span body; };

/* `admin`: HOST:PORT, [V6]:PORT, :PORT or unix:PATH. false: nobody answered, which was said on stderr. text_fini(&a->text) either way. */
bool admin_ask(const char *admin, const char *method, const char *path, struct admin_answer *);
/* Copies an answer that goes on, until it ends. The status; 0: nobody answered. */
int  admin_follow(const char *admin, const char *path, FILE *out);

#endif
