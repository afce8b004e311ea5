/* version.h - what this binary is. */
#ifndef APP_VERSION_H
#define APP_VERSION_H

const char *version_number(void);         /* "0.1.0" */
const char *version_revision(void);       /* the commit it was built from */

#endif
