/* version.h - what this binary is, and what it stands on. */
#ifndef APP_VERSION_H
#define APP_VERSION_H

const char *version_number(void);         /* "0.1.0" */
const char *version_revision(void);       /* the commit it was built from */
const char *version_llhttp(void);
const char *version_openssl(void);
const char *version_libuv(void);
void version_print(void);                 /* all of it, to stdout */

#endif
