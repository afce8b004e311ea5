/* sandbox.h - what the server gives up once all is open and before it reads a stranger's first byte: privileges, files, system calls.
 *
 *   user            started as root with `user: NAME`: becomes that user, for good. Without: stays, but without capabilities
 *   capabilities    none; but a root that Landlock confines keeps the one to read (CAP_DAC_READ_SEARCH), so that it can reload what it could load
 *   no_new_privs    nothing that it could start would have more
 *   Landlock        files: the folders of the configuration and of files named in it, the log's folder for writing, and what names and TLS need
 *   seccomp         the system calls that it makes; others do not exist, and those that only an intruder would make end it
 *
 * What the kernel does not have is left out, and /status.json says so. The supervisor stays as it was started: it holds sockets, and reads nothing.
 */
#ifndef APP_SANDBOX_H
#define APP_SANDBOX_H

#include "base/json.h"
#include "conf/conf.h"
#include "core/shared.h"

struct sandbox {
	bool        on;
	char        user[64];                 /* as whom it runs: a name, or a number */
	bool        changed;                  /* to `user` */
	bool        kept;                     /* capabilities are as they were: they could not be dropped */
	bool        may_read_all;             /* CAP_DAC_READ_SEARCH was kept */
	int         landlock;                 /* version of the kernel's; 0: it has none, or it is switched off */
	const char *seccomp;                  /* "on", or why not */
};

/* Before there are threads, and behind whoever uses files. EXIT_DONE, or another code, and it was said why. */
int  sandbox_enter(struct sandbox *, const struct conf *, struct shared *);
void sandbox_json(const struct sandbox *, struct json *);          /* members of an object that is open */

#endif
