/* body.h - private: the two byte pipes of an exchange. */
#ifndef SRC_CORE_BODY_H
#define SRC_CORE_BODY_H

#include "core/exchange.h"

void body_init(struct exchange *);
void body_fini(struct exchange *);
void body_call_begins(struct exchange *);         /* a (new) call: it has taken nothing yet                  */
void body_give_held(struct exchange *);           /* the call runs: hand it what has come so far             */
void body_commit(struct exchange *);              /* the head is out: send what has been held back           */
void body_drop_reply(struct exchange *);          /* a reply that nobody will see: head, bytes and trailers  */

#endif
