/* live.h - private: the files of the live page as the Makefile has embedded them. */
#ifndef SRC_APP_LIVE_H
#define SRC_APP_LIVE_H

#include <stddef.h>

struct live_file { const char *path, *type; const unsigned char *at; size_t len; };
extern const struct live_file live_files[];       /* ends with a path of NULL */

#endif
