/* sanitize.h - is AddressSanitizer watching? Then free lists and bump allocation step aside, so that it sees every object. */
#ifndef SRC_BASE_SANITIZE_H
#define SRC_BASE_SANITIZE_H

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZE_ADDRESS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZE_ADDRESS 1
#endif
#endif
#ifndef SANITIZE_ADDRESS
#define SANITIZE_ADDRESS 0
#endif

#endif
