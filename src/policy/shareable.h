/* shareable.h - may a reply be given to others who asked for the same? (behaviour §4; RFC 9111 §3 is more generous) */
#ifndef SRC_POLICY_SHAREABLE_H
#define SRC_POLICY_SHAREABLE_H

#include "http/message.h"

/* Not: errors of the service, 1xx, 206, 401, 403, 407; Set-Cookie; private, no-store; WWW-Authenticate; event streams.
 * To whom of them it may be given, its Vary says: vary.h. */
bool reply_is_shareable(const struct reply *);

#endif
