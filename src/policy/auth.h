/* auth.h - what other policies may know of `auth`. */
#ifndef SRC_POLICY_AUTH_H
#define SRC_POLICY_AUTH_H

#include <stdbool.h>

/* Of its settings: does this route check tokens? NULL: it does not. */
bool auth_is_on(const void *settings);

#endif
