/* words.h - numbers in words for people. */
#ifndef SRC_APP_WORDS_H
#define SRC_APP_WORDS_H

#include "base/text.h"

void words_age(struct text *, uint64_t seconds);          /* "12s", "4m", "3h 5m", "3d 4h" */
void words_latency(struct text *, uint64_t us);           /* "0.4ms", "12ms", "1.3s"       */
void words_count(struct text *, uint64_t n);              /* "9999", "12.3k", "4.5M"       */
struct span words_file(struct span path);                  /* its last part: the folders are in /status.json */

#endif
