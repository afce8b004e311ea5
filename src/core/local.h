/* local.h - private: answers that outrigger makes itself. */
#ifndef SRC_CORE_LOCAL_H
#define SRC_CORE_LOCAL_H

#include "core/exchange.h"

/* Puts a refusal in place; nothing is written yet. `detail` is copied. */
void local_refuse(struct exchange *, enum reason, unsigned retry_after_s, const char *detail);
/* Takes a local reply (or what an upstream said) back out: another try begins. */
void local_clear(struct exchange *);
/* At commit: makes head and body of a local reply, and gives every reply its last touches. false: out of memory. */
bool local_finish_head(struct exchange *);

#endif
