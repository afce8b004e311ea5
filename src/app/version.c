/* version.c - number and revision are given by the Makefile; libraries tell their own. */
#include "app/version.h"

const char *version_number(void) { return OUTRIGGER_VERSION; }
const char *version_revision(void) { return OUTRIGGER_REVISION; }
