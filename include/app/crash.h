/* crash.h - what a server still does when a fault ends it (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT): it passes the client connections that are at
 * rest to its supervisor, for the successor. Each data loop does that for its own, the one that the fault has stopped in the signal handler, the
 * others where a turn of theirs begins; who does not come to that within 30 ms is not waited for. Then the fault takes its course, with core file,
 * sanitizer's report and all. SIGKILL leaves no time for it, so there every connection is cut.
 *
 * In the handler: system calls, and reading memory of ours that was whole when the turn began. Should even that fault, the kernel ends the process.
 */
#ifndef APP_CRASH_H
#define APP_CRASH_H

struct server; struct data_thread;

void crash_watch(struct server *);                /* control thread, once, when its data threads are there */
void crash_unwatch(void);                         /* nothing is worth keeping any more */
void crash_thread_begins(struct data_thread *);   /* on each data thread, first */

#endif
