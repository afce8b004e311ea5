/* sandbox_parts.h - the two filters of the sandbox, apart. */
#ifndef SRC_APP_SANDBOX_PARTS_H
#define SRC_APP_SANDBOX_PARTS_H

#include "conf/conf.h"
#include "core/shared.h"

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1                           /* it makes calls of its own: a tracer at the end, another program for names of functions */
#else
#define SANITIZED 0
#endif

/* From now on files can be opened only where the configuration needs it. Version of the kernel's Landlock; 0: none; -1: it failed. */
int landlock_version(void);
int landlock_enter(const struct conf *, struct shared *);
/* From now on only the system calls of a server. "on", or why not. Needs no_new_privs. */
const char *seccomp_enter(void);

#endif
